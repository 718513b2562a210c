// Latents and weights: initial draw, steps of a log (scatter), the weights of a pool
// (gather), and the unpacking of weights into the layouts that the kernels read.

import { control, DirectionSet, Layer, layerAt, scratchBase, scratchOffsets, setAt } from './control';
import { drawLatents, permute, scanFrom, scanNext, signBlock, signMask, signMask4, unpermute } from './random';

/** Rows that a unit of work of `poolTile` takes. */
export const POOL_ROWS: i32 = 16;

@inline
function tritOf(latent: i32, cut: i32): i32 {
  return i32(latent > cut) - i32(latent < -cut);
}

@inline
function putWeight(layer: Layer, row: i32, column: i32, weight: i32): void {
  store<i8>(layer.weights + <usize>(row * layer.inputStride + column), weight);
  if (layer.transposed) store<i8>(layer.transposed + <usize>(column * layer.outputStride + row), weight);
}

/** Draws the latents of a tensor and sets its weights. */
export function initTensor(index: i32): void {
  const layer = layerAt(index);
  const words = scratchBase + <usize>scratchOffsets().words;
  const count = layer.rows * layer.columns;
  drawLatents(control.key0, control.key1, index, control.cut, count, layer.latents, words);
  for (let row = 0; row < layer.rows; row++) {
    for (let column = 0; column < layer.columns; column++) {
      const latent = load<i8>(layer.latents + <usize>(row * layer.columns + column));
      putWeight(layer, row, column, tritOf(latent, control.cut));
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
  for (let index = 0; index < control.layers; index++) parameters += weightsOf(index);
  const from = <i32>((<i64>parameters * tile) / control.tiles);
  const to = <i32>((<i64>parameters * (tile + 1)) / control.tiles);
  for (let index = 0; index < control.sets; index++) {
    const set = setAt(index);
    let offset = 0;
    for (let tensor = 0; tensor < set.tensor; tensor++) offset += weightsOf(tensor);
    const begin = max(0, from - offset);
    const end = min(set.size, to - offset);
    if (begin < end) applyWithin(set, begin, end);
  }
}

@inline
function weightsOf(index: i32): i32 {
  const layer = layerAt(index);
  return layer.rows * layer.columns;
}

/** A step on the weights begin…end − 1 of its set. */
function applyWithin(set: DirectionSet, begin: i32, end: i32): void {
  const words = scratchBase + <usize>scratchOffsets().words;
  const range = 3 * control.cut + 1;
  for (let k = 0; k < set.directions; k++) {
    const coefficient = <i32>load<i8>(control.coefficients + <usize>(set.first + k));
    if (coefficient == 0) continue;
    for (let position = k; position < set.touched; position += set.directions) {
      const index = permute(set, position);
      if (index < begin || index >= end) continue;
      signBlock(set, index, words);
      const mask = signMask(words, index);
      moveLatent(set, index, (coefficient ^ mask) - mask, range);
    }
  }
}

function moveLatent(set: DirectionSet, index: i32, by: i32, range: i32): void {
  let tensor = set.tensor;
  if (tensor < 0) {
    tensor = 0;
    while (index >= weightsOf(tensor)) {
      index -= weightsOf(tensor);
      tensor++;
    }
  }
  const layer = layerAt(tensor);
  const at = layer.latents + <usize>index;
  const latent = max(-range, min(range, <i32>load<i8>(at) - by));
  store<i8>(at, latent);
  const row = index / layer.columns;
  putWeight(layer, row, index - row * layer.columns, tritOf(latent, control.cut));
}

/** Weights of some rows from initial latents and the pool's coefficients i16[Σ K]. */
export function poolTile(tile: i32): void {
  for (let index = 0; index < control.sets; index++) {
    const set = setAt(index);
    const layer = layerAt(set.tensor);
    const tiles = (layer.rows + POOL_ROWS - 1) / POOL_ROWS;
    if (tile < tiles) {
      const end = min(layer.rows, (tile + 1) * POOL_ROWS);
      for (let row = tile * POOL_ROWS; row < end; row++) poolRow(set, layer, row);
      return;
    }
    tile -= tiles;
  }
}

function poolRow(set: DirectionSet, layer: Layer, row: i32): void {
  const words = scratchBase + <usize>scratchOffsets().words;
  const columns = layer.columns;
  const start = row * columns;
  const coefficients = control.coefficients + <usize>(set.first << 1);
  signBlock(set, start, words);
  // Signs of four weights lie in one block where rows begin at multiples of four.
  if ((columns & 3) == 0 && set.lows >= 4) {
    scanFrom(set, start);
    for (let column = 0; column < columns; column += 4) {
      putFour(set, layer, row, column, scanNext(set), coefficients, words);
    }
    return;
  }
  for (let column = 0; column < columns; column++) {
    const direction = unpermute(set, start + column) % set.directions;
    putPooled(set, layer, row, column, direction, coefficients, words);
  }
}

/** The same as `putPooled` for four weights from a multiple of four on. */
@inline
function putFour(set: DirectionSet, layer: Layer, row: i32, column: i32, directions: v128, coefficients: usize, words: usize): void {
  const index = row * layer.columns + column;
  if ((index & 127) == 0) signBlock(set, index, words);
  const signs = signMask4(words, index);
  let moves = v128.load16_splat(coefficients + <usize>(i32x4.extract_lane(directions, 0) << 1));
  moves = v128.load16_lane(coefficients + <usize>(i32x4.extract_lane(directions, 1) << 1), moves, 2);
  moves = v128.load16_lane(coefficients + <usize>(i32x4.extract_lane(directions, 2) << 1), moves, 4);
  moves = v128.load16_lane(coefficients + <usize>(i32x4.extract_lane(directions, 3) << 1), moves, 6);
  moves = i32x4.shr_s(i32x4.shl(moves, 16), 16);
  moves = i32x4.sub(v128.xor(moves, signs), signs);
  const drawn = i32x4.extend_low_i16x8_s(v128.load8x8_s(layer.latents + <usize>index));
  const latents = i32x4.add(drawn, moves);
  const cut = control.cut;
  const trits = i32x4.sub(i32x4.lt_s(latents, i32x4.splat(-cut)), i32x4.gt_s(latents, i32x4.splat(cut)));
  const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(trits, trits), trits);
  v128.store32_lane(layer.weights + <usize>(row * layer.inputStride + column), bytes, 0);
  if (layer.transposed) {
    const to = layer.transposed + <usize>(column * layer.outputStride + row);
    const stride = <usize>layer.outputStride;
    v128.store8_lane(to, bytes, 0);
    v128.store8_lane(to + stride, bytes, 1);
    v128.store8_lane(to + 2 * stride, bytes, 2);
    v128.store8_lane(to + 3 * stride, bytes, 3);
  }
}

@inline
function putPooled(set: DirectionSet, layer: Layer, row: i32, column: i32, direction: i32, coefficients: usize, words: usize): void {
  const index = row * layer.columns + column;
  if ((index & 127) == 0) signBlock(set, index, words);
  const mask = signMask(words, index);
  const coefficient = <i32>load<i16>(coefficients + <usize>(direction << 1));
  const latent = <i32>load<i8>(layer.latents + <usize>index) + ((coefficient ^ mask) - mask);
  putWeight(layer, row, column, tritOf(latent, control.cut));
}

/** Spreads weights i8[M, N] that lie in the latents' order at `weights` into the kernels' layouts. */
export function spread(layer: Layer, weights: usize): void {
  for (let row = 0; row < layer.rows; row++) {
    for (let column = 0; column < layer.columns; column++) {
      putWeight(layer, row, column, load<i8>(weights + <usize>(row * layer.columns + column)));
    }
  }
}
