// Latents and values: initial draw, steps of a log (scatter), the values of a pool
// (gather), and the unpacking of values into the layouts that the kernels read. ../../latents.ts defines them.

import { control, DirectionSet, own, setAt, Tensor, tensorAt } from './control';
import { drawLatents, permute, scanFrom, scanNext, signBlock, signMask, signMask4, unpermute } from './random';

/** Rows that a unit of work of `poolTile` takes. */
export const POOL_ROWS: i32 = 16;

/** The cut of latents that are values by themselves. */
const CUT_MAX: i32 = 42;

/** The value that a latent stands for. */
@inline
function valueOf(tensor: Tensor, latent: i32): i32 {
  if (!SIGNED || tensor.trit) return i32(latent > control.cut) - i32(latent < -control.cut);
  return max(tensor.least, min(tensor.most, latent));
}

@inline
function put(tensor: Tensor, row: i32, column: i32, value: i32): void {
  store<i8>(tensor.values + <usize>(row * tensor.stride + column), SIGNED ? value + tensor.off : value);
  if (TRAINING && tensor.transposed) store<i8>(tensor.transposed + <usize>(column * tensor.outputStride + row), value);
}

/** Draws the latents of a tensor, unless they are there, and sets its values. */
export function initTensor(index: i32): void {
  const tensor = tensorAt(index);
  if (tensor.drawn) {
    const cut = !SIGNED || tensor.trit ? control.cut : CUT_MAX;
    drawLatents(control.key0, control.key1, index, cut, sizeOf(tensor), tensor.latents, own(control.words));
  }
  for (let row = 0; row < tensor.rows; row++) {
    for (let column = 0; column < tensor.columns; column++) {
      put(tensor, row, column, valueOf(tensor, load<i8>(tensor.latents + <usize>(row * tensor.columns + column))));
    }
  }
}

/** One step of a log along the set's directions, with its coefficients among those i8[Σ K] of all sets. */
export function applyStep(set: DirectionSet): void {
  applyWithin(set, 0, set.size);
}

/**
 * All sets in order, on part `tile` of the model's weights. Steps cannot change places, since latents are
 * clamped, but no weight knows another: so each thread goes through all steps for its own weights.
 */
export function stepsTile(tile: i32): void {
  let parameters = 0;
  for (let index = 0; index < control.tensors; index++) parameters += sizeOf(tensorAt(index));
  const from = <i32>((<i64>parameters * tile) / control.tiles);
  const to = <i32>((<i64>parameters * (tile + 1)) / control.tiles);
  for (let index = 0; index < control.sets; index++) {
    const set = setAt(index);
    let offset = 0;
    for (let tensor = 0; tensor < set.tensor; tensor++) offset += sizeOf(tensorAt(tensor));
    const begin = max(0, from - offset);
    const end = min(set.size, to - offset);
    if (begin < end) applyWithin(set, begin, end);
  }
}

@inline
function sizeOf(tensor: Tensor): i32 {
  return tensor.rows * tensor.columns;
}

/** A step on the weights begin…end − 1 of its set. */
function applyWithin(set: DirectionSet, begin: i32, end: i32): void {
  const words = own(control.words);
  for (let k = 0; k < set.directions; k++) {
    const coefficient = <i32>load<i8>(control.coefficients + <usize>(set.first + k));
    if (coefficient == 0) continue;
    for (let position = k; position < set.touched; position += set.directions) {
      const index = permute(set, position);
      if (index < begin || index >= end) continue;
      signBlock(set, index, words);
      const mask = signMask(words, index);
      moveLatent(set, index, (coefficient ^ mask) - mask);
    }
  }
}

function moveLatent(set: DirectionSet, index: i32, by: i32): void {
  let at = max(0, set.tensor);
  if (set.tensor < 0) {
    while (index >= sizeOf(tensorAt(at))) {
      index -= sizeOf(tensorAt(at));
      at++;
    }
  }
  const tensor = tensorAt(at);
  const range = !SIGNED || tensor.trit ? 3 * control.cut + 1 : tensor.most;
  const latent = max(-range, min(range, <i32>load<i8>(tensor.latents + <usize>index) - by));
  store<i8>(tensor.latents + <usize>index, latent);
  const row = index / tensor.columns;
  put(tensor, row, index - row * tensor.columns, valueOf(tensor, latent));
}

/** Values of some rows from initial latents and the pool's coefficients i16[Σ K]. */
export function poolTile(tile: i32): void {
  for (let index = 0; index < control.sets; index++) {
    const set = setAt(index);
    const tensor = tensorAt(set.tensor);
    const tiles = (tensor.rows + POOL_ROWS - 1) / POOL_ROWS;
    if (tile < tiles) {
      const end = min(tensor.rows, (tile + 1) * POOL_ROWS);
      for (let row = tile * POOL_ROWS; row < end; row++) poolRow(set, tensor, row);
      return;
    }
    tile -= tiles;
  }
}

function poolRow(set: DirectionSet, tensor: Tensor, row: i32): void {
  const words = own(control.words);
  const columns = tensor.columns;
  const start = row * columns;
  const coefficients = control.coefficients + <usize>(set.first << 1);
  signBlock(set, start, words);
  // Signs of four weights lie in one block where rows begin at multiples of four.
  if ((!SIGNED || tensor.trit) && (columns & 3) == 0 && set.lows >= 4) {
    scanFrom(set, start);
    for (let column = 0; column < columns; column += 4) {
      putFour(set, tensor, row, column, scanNext(set), coefficients, words);
    }
    return;
  }
  for (let column = 0; column < columns; column++) {
    const direction = unpermute(set, start + column) % set.directions;
    putPooled(set, tensor, row, column, direction, coefficients, words);
  }
}

/** The same as `putPooled` for four weights from a multiple of four on. */
@inline
function putFour(set: DirectionSet, tensor: Tensor, row: i32, column: i32, directions: v128, coefficients: usize, words: usize): void {
  const index = row * tensor.columns + column;
  if ((index & 127) == 0) signBlock(set, index, words);
  const signs = signMask4(words, index);
  let moves = v128.load16_splat(coefficients + <usize>(i32x4.extract_lane(directions, 0) << 1));
  moves = v128.load16_lane(coefficients + <usize>(i32x4.extract_lane(directions, 1) << 1), moves, 2);
  moves = v128.load16_lane(coefficients + <usize>(i32x4.extract_lane(directions, 2) << 1), moves, 4);
  moves = v128.load16_lane(coefficients + <usize>(i32x4.extract_lane(directions, 3) << 1), moves, 6);
  moves = i32x4.shr_s(i32x4.shl(moves, 16), 16);
  moves = i32x4.sub(v128.xor(moves, signs), signs);
  const drawn = i32x4.extend_low_i16x8_s(v128.load8x8_s(tensor.latents + <usize>index));
  const latents = i32x4.add(drawn, moves);
  const cut = control.cut;
  const trits = i32x4.sub(i32x4.lt_s(latents, i32x4.splat(-cut)), i32x4.gt_s(latents, i32x4.splat(cut)));
  const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(trits, trits), trits);
  const stored = SIGNED ? i8x16.add(bytes, i8x16.splat(<i8>tensor.off)) : bytes;
  v128.store32_lane(tensor.values + <usize>(row * tensor.stride + column), stored, 0);
  if (TRAINING && tensor.transposed) {
    const to = tensor.transposed + <usize>(column * tensor.outputStride + row);
    const stride = <usize>tensor.outputStride;
    v128.store8_lane(to, bytes, 0);
    v128.store8_lane(to + stride, bytes, 1);
    v128.store8_lane(to + 2 * stride, bytes, 2);
    v128.store8_lane(to + 3 * stride, bytes, 3);
  }
}

@inline
function putPooled(set: DirectionSet, tensor: Tensor, row: i32, column: i32, direction: i32, coefficients: usize, words: usize): void {
  const index = row * tensor.columns + column;
  if ((index & 127) == 0) signBlock(set, index, words);
  const mask = signMask(words, index);
  const coefficient = <i32>load<i16>(coefficients + <usize>(direction << 1));
  const latent = <i32>load<i8>(tensor.latents + <usize>index) + ((coefficient ^ mask) - mask);
  put(tensor, row, column, valueOf(tensor, latent));
}

/** Spreads values i8[M, N] in the model's order into the kernels' layouts. */
export function spread(tensor: Tensor, values: usize): void {
  for (let row = 0; row < tensor.rows; row++) {
    for (let column = 0; column < tensor.columns; column++) {
      put(tensor, row, column, load<i8>(values + <usize>(row * tensor.columns + column)));
    }
  }
}
