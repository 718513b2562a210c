/**
 * Which of a file's matrices comes first, and which of its sizes are inputs. A container says neither. What is
 * believed: what the caller says; which framework the metadata name; which order chains; whose inputs and classes the
 * data have; numbers in the names. What is not believed is the order in the file: the library of safetensors sorts
 * by type and name, MLX writes in the order of a hash table. docs/exchange.md states the rule.
 */

import { ConfigError, expected, InputError, printable } from '../errors.js';
import { CLASSES_MAX } from '../ternary/units.js';
import { headerFault } from './safetensors.js';

/** What the two sizes of a matrix are: as PyTorch's `nn.Linear` has them, or as a Keras kernel has them. */
export const LAYOUTS = ['outputs-inputs', 'inputs-outputs'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** A matrix as it lies in a file. */
export interface Matrix {
  readonly name: string;
  readonly sizes: readonly [number, number];
  /** As the length of its bias says, where there is one. */
  readonly outputs?: number;
}

/** What is known beside the matrices. */
export interface Evidence {
  /** What the caller says the sizes are. */
  readonly layout?: Layout;
  /** Whether the caller named the matrices in their order. */
  readonly ordered: boolean;
  /** `format` of the metadata. */
  readonly format?: string;
  /** Inputs and classes of the data that the model is for. */
  readonly fits?: Fits;
}

/** Inputs and classes that data have. */
export interface Fits {
  readonly inputs: number;
  readonly classes: number;
}

/** How a file's matrices are taken, and by what that was decided. */
export interface Reading {
  readonly layout: Layout;
  readonly layoutBy: 'setting' | 'metadata' | 'shapes' | 'numbers in the names';
  /** Names, from the inputs on. */
  readonly layers: readonly string[];
  readonly layersBy: 'setting' | 'shapes' | 'numbers in the names';
}

/** Frameworks that metadata name, and how each keeps a dense layer's weights. */
const FORMATS: ReadonlyMap<string, Layout> = new Map([
  ...['pt', 'torch', 'pytorch', 'mlx'].map((name) => [name, 'outputs-inputs'] as const),
  ...['tf', 'tensorflow', 'keras', 'flax', 'jax', 'pd', 'paddle'].map(
    (name) => [name, 'inputs-outputs'] as const,
  ),
]);

/** Steps of a search for orders: hundreds of times what files take whose layers are in one. */
const SEARCH_MAX = 20_000;
/** Longer numbers in names are no counts of layers. */
const DIGITS_MAX = 15;

/** What the ends of a chain must be. */
interface Ends {
  readonly inputs?: number;
  /** The least and the largest number of classes. */
  readonly classes: readonly [least: number, largest: number];
}

/** No matter which. */
const ANY_ENDS: Ends = { classes: [1, Number.POSITIVE_INFINITY] };

/** Orders that chain; two where there are two or more. */
interface Orders {
  readonly found: readonly (readonly number[])[];
  /** Whether there are no others, as far as two were looked for. */
  readonly complete: boolean;
}

/**
 * Chooses the one reading that the evidence leaves.
 * @param matrices - in the order of the file, or in the caller's
 * @throws {InputError} when none is left, or more than one, naming the setting that decides
 * @throws {ConfigError} when the caller's layers do not chain
 */
export function chooseReading(matrices: readonly Matrix[], evidence: Evidence): Reading {
  const { layout: said, ordered, format, fits } = evidence;
  const named = said ?? FORMATS.get((format ?? '').toLowerCase());
  const layouts = LAYOUTS.filter((layout) => said === undefined || layout === said);
  const ends: Ends = {
    ...(fits && { inputs: fits.inputs }),
    classes: [Math.max(2, fits?.classes ?? 2), CLASSES_MAX],
  };
  const search = (within: Ends, byNumbers: boolean): Candidates[] =>
    layouts
      .map((layout) => {
        const before = (a: number, b: number) =>
          ordered ? a < b : byNumbers && precedes(matrices[a], matrices[b]);
        return { layout, ...ordersOf(matrices, layout, within, before) };
      })
      .filter(({ found, complete }) => found.length > 0 || !complete);
  const possible = search(ends, false);
  if (possible.length === 0) throw nothingFits(matrices, evidence, search(ANY_ENDS, false).length > 0);
  const numbered = search(ends, true);

  if (named !== undefined && possible.every(({ layout }) => layout !== named)) {
    // Without data, the other reading is only what is left when the number of classes is none that there can be.
    const chains = search(ANY_ENDS, false).some(({ layout }) => layout === named);
    if (fits === undefined && chains) throw nothingFits(matrices, evidence, true);
    throw headerFault(
      `its metadata say "format": "${printable(format ?? '')}", whose matrices are ${shapeOf(named)}, but they ` +
        `follow one another${endsOf(fits)} only as ${shapeOf(possible[0].layout)}: ` +
        `"layout" ${possible[0].layout} takes them so; got ${listed(matrices)}`,
    );
  }
  const left = numbered.filter(({ layout }) => named === undefined || layout === named);
  const one = onlyOf(left) ?? (numbered.length === 0 ? onlyOf(possible) : null);
  if (one === null) throw undecided(matrices, evidence, numbered, left);
  const { layout } = one;
  if (said === undefined && numbered.length > 1 && hasKernels(matrices) && layout === 'outputs-inputs') {
    throw headerFault(
      `its metadata say "format": "${printable(format ?? '')}", whose matrices are ${shapeOf(layout)}, but they are ` +
        `called kernels, which are ${shapeOf('inputs-outputs')}, and follow one another either way: ` +
        `"layout" expected ${LAYOUTS.join(' or ')}, got none; the file holds ${listed(matrices)}`,
    );
  }
  const alone = onlyOf(possible.filter((other) => other.layout === layout)) !== null;
  return {
    layout,
    layoutBy:
      said !== undefined
        ? 'setting'
        : named !== undefined
          ? 'metadata'
          : possible.length === 1
            ? 'shapes'
            : 'numbers in the names',
    layers: one.order.map((i) => matrices[i].name),
    layersBy: ordered ? 'setting' : alone ? 'shapes' : 'numbers in the names',
  };
}

/** The orders of a layout. */
interface Candidates extends Orders {
  readonly layout: Layout;
}

/** The reading, where there is exactly one. */
function onlyOf(all: readonly Candidates[]): { layout: Layout; order: readonly number[] } | null {
  if (all.length !== 1) return null;
  const [{ layout, found, complete }] = all;
  return found.length === 1 && complete ? { layout, order: found[0] } : null;
}

/**
 * Orders in which the inputs of each matrix are as many as the outputs of the one before: paths that take every edge
 * of a graph of widths once.
 * @param before - whether one must come before the other
 */
function ordersOf(
  matrices: readonly Matrix[],
  layout: Layout,
  { inputs, classes: [least, largest] }: Ends,
  before: (a: number, b: number) => boolean,
): Orders {
  const edges = matrices.map(({ sizes: [a, b], outputs }) => {
    const [from, to] = layout === 'outputs-inputs' ? [b, a] : [a, b];
    return { from, to, possible: outputs === undefined || outputs === to };
  });
  if (!edges.every(({ possible }) => possible)) return { found: [], complete: true };
  const count = edges.length;
  const earlier = edges.map((_, b) => edges.flatMap((__, a) => (a !== b && before(a, b) ? [a] : [])));
  const found: number[][] = [];
  const path: number[] = [];
  const used = new Array<boolean>(count).fill(false);
  let left = SEARCH_MAX;
  const follow = (width: number | undefined): void => {
    if (path.length === count) {
      if ((width as number) >= least && (width as number) <= largest) found.push([...path]);
      return;
    }
    for (let i = 0; i < count && found.length < 2; i++) {
      if (used[i] || (width !== undefined && edges[i].from !== width)) continue;
      if (earlier[i].some((a) => !used[a])) continue;
      if (--left < 0) return;
      used[i] = true;
      path.push(i);
      follow(edges[i].to);
      path.pop();
      used[i] = false;
    }
  };
  follow(inputs);
  return { found, complete: left >= 0 };
}

/**
 * Whether numbers in the names say that one layer comes before another: `fc2` before `fc10`, `blocks.0.up` before
 * `blocks.1.down`, `dense` before `dense_1` as Keras counts, `fc` before `fc2`. Numbers that are sizes of their own
 * matrices (`w_784_256`) count nothing.
 */
export function precedes(a: Matrix, b: Matrix): boolean {
  const [left, right] = [segmentsOf(a.name), segmentsOf(b.name)];
  const at = left.findIndex((segment, i) => segment !== right[i]);
  if (at < 0 || at >= right.length) return false;
  const continued = right[at].startsWith(left[at]) ? right[at].slice(left[at].length) : '';
  if (!/[0-9]$/.test(left[at]) && /^(?:_[0-9]+|[2-9]|[1-9][0-9]+)$/.test(continued)) return true;
  const [one, other] = [tokensOf(left[at]), tokensOf(right[at])];
  const differs = one.findIndex((token, i) => token !== other[i]);
  const [first, second] = [one[differs], other[differs]].map((token) => token ?? '');
  if (![first, second].every((token) => /^[0-9]+$/.test(token) && token.length <= DIGITS_MAX)) return false;
  const areSizes = a.sizes.includes(Number(first)) && b.sizes.includes(Number(second));
  return Number(first) < Number(second) && !areSizes;
}

function segmentsOf(name: string): string[] {
  return name.split(/[./]/);
}

function tokensOf(segment: string): string[] {
  return segment.match(/[0-9]+|[^0-9]+/g) ?? [];
}

/** Every framework that calls weights so keeps them as [inputs, outputs]; `weight` says less. */
function hasKernels(matrices: readonly Matrix[]): boolean {
  return matrices.every(({ name }) => /(?:^|[._/])kernel(?::0)?$/i.test(name));
}

/** No reading has the ends that the data or the arithmetic need, or there is none at all. */
function nothingFits(
  matrices: readonly Matrix[],
  { ordered, fits, layout }: Evidence,
  chains: boolean,
): InputError | ConfigError {
  if (chains) {
    const single = matrices.some(({ sizes }) => sizes.includes(1))
      ? ': a model of one output needs two, the weights of the first all 0'
      : '';
    const ends = fits
      ? `${fits.inputs} inputs to ${fits.classes}…${CLASSES_MAX} outputs, as the data have`
      : `inputs to a number of classes in 2…${CLASSES_MAX}`;
    return headerFault(`expected matrices that lead from ${ends}, got ${listed(matrices)}${single}`);
  }
  const what =
    'matrices that follow one another, the inputs of each as many as the outputs of the last' +
    (layout === undefined ? '' : `, as ${shapeOf(layout)}`);
  if (ordered) return new ConfigError(`"layers" expected ${what}, got ${listed(matrices)}`);
  const remedy = matrices.length > 1 ? ': "layers" takes some of them, by their names in order' : '';
  return headerFault(`expected ${what}; got ${listed(matrices)}${remedy}`);
}

/**
 * More than one reading is left, or none that all the evidence allows.
 * @param numbered - readings that follow the numbers in the names
 * @param left - those of them that the metadata allow
 */
function undecided(
  matrices: readonly Matrix[],
  { format }: Evidence,
  numbered: readonly Candidates[],
  left: readonly Candidates[],
): InputError {
  const holds = `the file holds ${listed(matrices)}`;
  const choice = `"layout" expected ${LAYOUTS.join(' (PyTorch) or ')} (Keras, TensorFlow, JAX), got none`;
  if (left.length > 1) {
    const hint = hasKernels(matrices) ? ' (they are called kernels, which are mostly the latter)' : '';
    return headerFault(
      `its matrices follow one another both as [outputs, inputs] and as [inputs, outputs]${hint}, and its metadata ` +
        `do not say which they are: ${choice}; ${holds}`,
    );
  }
  if (left.length === 0 && numbered.length > 0) {
    return headerFault(
      `its matrices follow one another in the order of the numbers in their names only as ` +
        `${shapeOf(numbered[0].layout)}, but its metadata say "format": "${printable(format ?? '')}": ${choice}; ${holds}`,
    );
  }
  const why =
    left.length === 0
      ? 'its matrices do not follow one another in the order that the numbers in their names say'
      : 'its matrices follow one another in more than one order, and no numbers in their names say which';
  const chainsAsItLies = LAYOUTS.some(
    (layout) => ordersOf(matrices, layout, ANY_ENDS, (a, b) => a < b).found.length > 0,
  );
  const names = matrices.map(({ name }) => printable(name)).join();
  const example = chainsAsItLies ? `; in the order of the file that is "layers" ${names}` : '';
  return headerFault(`${why}: "layers" expected their names in order, got none; ${holds}${example}`);
}

/**
 * The layers that a caller named.
 * @throws {ConfigError} when one is not there, or twice
 */
export function pickLayers<Any extends { readonly name: string }>(
  tensors: readonly Any[],
  names: readonly string[],
): Any[] {
  return names.map((name, i) => {
    const tensor = tensors.find((one) => one.name === name);
    if (tensor && names.indexOf(name) === i) return tensor;
    const there = tensors.map((one) => printable(one.name)).slice(0, SHOWN);
    throw expected('layers', `names of different matrices of the file (${there.join(', ')})`, name);
  });
}

/** Matrices that a message shows. */
const SHOWN = 12;

function listed(matrices: readonly Matrix[]): string {
  const shown = matrices.slice(0, SHOWN).map(({ name, sizes }) => `${printable(name)} [${sizes.join()}]`);
  const more = matrices.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

function shapeOf(layout: Layout): string {
  return layout === 'outputs-inputs' ? '[outputs, inputs]' : '[inputs, outputs]';
}

function endsOf(fits: Fits | undefined): string {
  return fits === undefined ? '' : ` from ${fits.inputs} inputs to ${fits.classes} classes or more`;
}
