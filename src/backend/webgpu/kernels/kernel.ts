/**
 * What a kernel is to the host: its WGSL, and the names of what it takes. Binding 0 is a block
 * of 32-bit parameters that differ from dispatch to dispatch; the storage buffers follow in the
 * order in which they are declared. Shapes are parameters where they only move a bound, and constants
 * in the source where the compiler gains by seeing them.
 */

/** What the device's compiler has; results are the same without any of it. */
export interface Features {
  /** `dot4I8Packed`: four 8-bit products and their sum in one instruction. */
  readonly dot: boolean;
  /** Sums over the threads that run together, without workgroup memory. */
  readonly subgroups: boolean;
}

/** A storage buffer as a kernel declares it. */
export interface Storage {
  readonly type: string;
  readonly access: 'read' | 'write';
}

export const read = (type: string): Storage => ({ type, access: 'read' });
/** A buffer that is written; it may be read as well. */
export const write = (type: string): Storage => ({ type, access: 'write' });

export interface Kernel<Buffer extends string = string, Param extends string = string> {
  readonly name: string;
  /** WGSL whose entry point is `main`. */
  readonly source: string;
  readonly params: readonly Param[];
  readonly buffers: Readonly<Record<Buffer, Storage>>;
}

interface KernelSpec<Buffer extends string, Param extends string> {
  readonly name: string;
  readonly params: readonly Param[];
  readonly buffers: Readonly<Record<Buffer, Storage>>;
  /** `enable` directives. */
  readonly enables?: readonly string[];
  /** Pieces of WGSL: functions, workgroup variables and `main`. */
  readonly code: readonly string[];
}

/** Puts a kernel together: the declarations come from the names of what it takes. */
export function kernel<const Buffer extends string, const Param extends string>({
  name,
  params,
  buffers,
  enables = [],
  code,
}: KernelSpec<Buffer, Param>): Kernel<Buffer, Param> {
  const storages = Object.entries<Storage>(buffers).map(([buffer, { type, access }], index) => {
    const mode = access === 'read' ? 'read' : 'read_write';
    return `@group(0) @binding(${index + 1}) var<storage, ${mode}> ${buffer}: ${type};`;
  });
  const source = [
    ...enables.map((feature) => `enable ${feature};`),
    `struct Params { ${params.map((param) => `${param}: u32`).join(', ')} }`,
    '@group(0) @binding(0) var<uniform> params: Params;',
    ...storages,
    ...code,
  ].join('\n');
  return { name, source, params, buffers };
}

/** Workgroups of a dispatch: how many, in rows that the limit of a dimension allows. */
export type Groups = readonly [x: number, y: number];

/** Workgroups of a dispatch may not be more than this in one dimension. */
const GROUPS_MAX = 65_535;
/** Threads of a workgroup where each takes an item by itself. */
export const ITEMS = 64;

/**
 * Workgroups for so many items.
 * @param size - of which one workgroup takes so many
 */
export function itemGroups(items: number, size: number = ITEMS): Groups {
  const groups = Math.ceil(items / size);
  const x = Math.min(groups, GROUPS_MAX);
  return [x, Math.ceil(groups / Math.max(1, x))];
}

/** A `main` whose threads are counted through by `item`, see `itemGroups`. */
export function itemMain(body: string, size: number = ITEMS): string {
  return countedMain(size, `(group.y * groups.x + group.x) * ${size}u + thread`, body);
}

/** A kernel whose threads take an item each, of `items`: what `body` does with `item`. */
export function itemKernel<const Buffer extends string, const Param extends string>({
  params,
  code,
  body,
  ...spec
}: KernelSpec<Buffer, Param> & { readonly body: string }): Kernel<Buffer, Param | 'items'> {
  const main = itemMain(`  if (item >= params.items) { return; }${body}`);
  return kernel({ ...spec, params: ['items', ...params], code: [...code, main] });
}

/** A `main` whose workgroups of so many threads are counted through by `item`: `itemGroups(items, 1)`. */
export function groupMain(size: number, body: string): string {
  return countedMain(size, 'group.y * groups.x + group.x', body);
}

function countedMain(size: number, item: string, body: string): string {
  return `
@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let item = ${item};
${body}
}`;
}
