/**
 * The tiled product that `linear` and `align` share: out[i, j] = Σ_k left[i, k] · right[j, k],
 * where both sides are rows of bytes, 16 to a vec4 of words. A workgroup of 16 × 16 threads
 * computes a tile of 16·lefts × 16·rights results. It brings a slice of DEPTH vec4s of each of
 * the tile's rows into workgroup memory, where every byte is read by 16 threads; a thread keeps
 * lefts × rights sums in registers, so that each vec4 that it reads serves several of them.
 */

import type { Features, Groups } from './kernel.js';

/** Threads of a workgroup, each way. */
export const TILE_SIDE = 16;
/** Vec4s of a row that are in workgroup memory at a time: 64 bytes. */
const DEPTH = 4;
/** Vec4s from one row to the next there: odd, so that neighbouring threads meet different banks. */
const PITCH = DEPTH + 1;

/** Rows a thread takes of each side: 1, 2, 4 or 8. */
export interface TileCounts {
  readonly lefts: number;
  readonly rights: number;
}

/** What is wanted of tiles. */
export interface TileChoice {
  /** The largest count: a software adapter compiles long kernels slowly. */
  readonly max: number;
  /** Tiles become smaller until there are so many. */
  readonly wanted: number;
}

/**
 * The largest tile that still gives enough of them.
 * @param leftRows - how many rows each side has
 * @param sides - how many left sides are in workgroup memory beside the right one
 * @param bytes - workgroup memory there is
 */
export function tileCounts(
  leftRows: number,
  rightRows: number,
  sides: number,
  bytes: number,
  { max, wanted }: TileChoice,
): TileCounts {
  let lefts = Math.min(max, countFor(leftRows));
  let rights = Math.min(max, countFor(rightRows));
  const span = (count: number) => TILE_SIDE * count;
  const tiles = () => Math.ceil(leftRows / span(lefts)) * Math.ceil(rightRows / span(rights));
  const tooLarge = () => (sides * lefts + rights) * TILE_SIDE * PITCH * 16 > bytes;
  while (tooLarge() || (tiles() < wanted && Math.max(lefts, rights) > 2)) {
    if (lefts >= rights) lefts /= 2;
    else rights /= 2;
  }
  return { lefts, rights };
}

function countFor(rows: number): number {
  return [1, 2, 4].find((count) => count * TILE_SIDE >= rows) ?? 8;
}

/**
 * `addDot(sum, a, b)` and `dots(sum, a, b)`: a sum and 4 or 16 products of signed bytes more. Each dot product adds
 * to what is there, so that a device can do both in one instruction. Needs BYTES.
 */
export function dots({ dot }: Features): string {
  return `
fn addDot(sum: i32, a: u32, b: u32) -> i32 { return ${dot ? 'dot4I8Packed(a, b)' : 'dot(bytesOf(a), bytesOf(b))'} + sum; }
fn dots(sum: i32, a: vec4<u32>, b: vec4<u32>) -> i32 {
  return addDot(addDot(addDot(addDot(sum, a.x, b.x), a.y, b.y), a.z, b.z), a.w, b.w);
}`;
}

/**
 * Tiles in workgroup memory; the right one is called `right`.
 * @param lefts - names: `load_NAME(row, word)` gives a vec4 of the row counted within the operand
 */
export function tileVariables(lefts: readonly string[], counts: TileCounts): string {
  return [
    ...lefts.map((name) => tileVariable(name, counts.lefts)),
    tileVariable('right', counts.rights),
  ].join('\n');
}

function tileVariable(name: string, count: number): string {
  return `var<workgroup> tile_${name}: array<vec4<u32>, ${TILE_SIDE * count * PITCH}>;`;
}

/**
 * The statements of the product, in a `main` with `local` and `thread`: leaves the sums of left
 * row `firstLeft + local.y + 16·i` and right row `firstRight + local.x + 16·j` in `sum_NAME_i_j`.
 * @param depth - WGSL for the vec4s of a row
 */
export function tiledProduct(lefts: readonly string[], counts: TileCounts, depth: string): string {
  const pairs = range(counts.lefts).flatMap((i) => range(counts.rights).map((j) => [i, j] as const));
  const sums = lefts.flatMap((name) => pairs.map(([i, j]) => `  var sum_${name}_${i}_${j} = 0;`));
  const products = lefts.flatMap((name) =>
    range(counts.lefts).flatMap((i) => [
      `      { let left = tile_${name}[(local.y + ${TILE_SIDE * i}u) * ${PITCH}u + k];`,
      ...range(counts.rights).map(
        (j) => `        sum_${name}_${i}_${j} = dots(sum_${name}_${i}_${j}, left, right_${j});`,
      ),
      '      }',
    ]),
  );
  return `
${sums.join('\n')}
  for (var slice = 0u; slice < ${depth}; slice += ${DEPTH}u) {
${lefts.map((name) => fill(name, counts.lefts, 'firstLeft')).join('\n')}
${fill('right', counts.rights, 'firstRight')}
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
${range(counts.rights)
  .map((j) => `      let right_${j} = tile_right[(local.x + ${TILE_SIDE * j}u) * ${PITCH}u + k];`)
  .join('\n')}
${products.join('\n')}
    }
    workgroupBarrier();
  }`;
}

/** Workgroups for so many rows of each side. */
export function tileGroups(leftRows: number, rightRows: number, { lefts, rights }: TileCounts): Groups {
  return [Math.ceil(leftRows / (TILE_SIDE * lefts)), Math.ceil(rightRows / (TILE_SIDE * rights))];
}

/**
 * A `main` of the product: `body` is what leaves the sums, and what becomes of them.
 * Workgroups: (tiles of left rows, tiles of right rows).
 */
export function tileMain(counts: TileCounts, body: string): string {
  return `
@compute @workgroup_size(${TILE_SIDE}, ${TILE_SIDE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let firstLeft = group.x * ${TILE_SIDE * counts.lefts}u;
  let firstRight = group.y * ${TILE_SIDE * counts.rights}u;
${body}
}`;
}

/** A statement for each sum of a thread: `of(name of the sum's end, left row, right row)`. */
export function forEachSum(
  counts: TileCounts,
  of: (end: string, left: string, right: string) => string,
): string {
  return range(counts.lefts)
    .flatMap((i) =>
      range(counts.rights).map((j) => {
        const left = `firstLeft + local.y + ${TILE_SIDE * i}u`;
        return `  ${of(`${i}_${j}`, left, `firstRight + local.x + ${TILE_SIDE * j}u`)}`;
      }),
    )
    .join('\n');
}

/** All threads together bring the next slice of a side's rows. */
function fill(name: string, count: number, first: string): string {
  return `
    for (var slot = thread; slot < ${TILE_SIDE * count * DEPTH}u; slot += ${TILE_SIDE * TILE_SIDE}u) {
      let row = slot / ${DEPTH}u;
      let word = slot % ${DEPTH}u;
      tile_${name}[row * ${PITCH}u + word] = load_${name}(${first} + row, slice + word);
    }`;
}

export function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}
