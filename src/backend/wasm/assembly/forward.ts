// The unperturbed pass of one tile of examples, and the transposition that the alignment
// sums need.

import { crossEntropy, finishSums, measure, normalize, predict, ternaryProduct, wideProduct } from './arithmetic';
import { control, Layer, layerAt, Scale, scratchBase, scratchOffsets, TILE } from './control';

@inline
export function sumsOf(layer: Layer, example: i32): usize {
  return scratchBase + <usize>(layer.sums + ((example * layer.outputStride) << 2));
}

@inline
export function outputsOf(layer: Layer, example: i32): usize {
  return scratchBase + <usize>(layer.outputs + example * layer.outputStride);
}

@inline
export function scaleOf(layer: Layer, example: i32): Scale {
  return changetype<Scale>(scratchBase + <usize>layer.scales + <usize>example * offsetof<Scale>());
}

/** The input activations of a tile at a layer. */
@inline
export function inputsOf(index: i32, tile: i32): usize {
  if (index > 0) return outputsOf(layerAt(index - 1), 0);
  return control.inputs + <usize>(tile * TILE * layerAt(0).inputStride);
}

/** The pre-activations of a tile, z[16, outputStride]. */
function linear(layer: Layer, x: usize, z: usize): void {
  if (layer.wide) wideProduct(x, layer.weights, layer.inputStride, layer.paddedRows, z, layer.outputStride);
  else ternaryProduct(x, layer.weights, layer.inputStride, layer.paddedRows, z, layer.outputStride);
  finishSums(layer, z);
}

/** All layers; logits, losses and predictions to the batch's arrays. */
export function forwardTile(tile: i32): void {
  const last = control.layers - 1;
  for (let index = 0; index <= last; index++) {
    const layer = layerAt(index);
    linear(layer, inputsOf(index, tile), sumsOf(layer, 0));
    if (index == last) break;
    for (let example = 0; example < TILE; example++) {
      const scale = scaleOf(layer, example);
      const sums = sumsOf(layer, example);
      measure(sums, layer.rows, scale);
      normalize(sums, layer.rows, layer.outputStride, scale, outputsOf(layer, example));
    }
  }
  const output = layerAt(last);
  const count = min(TILE, control.batch - tile * TILE);
  for (let example = 0; example < count; example++) {
    const at = tile * TILE + example;
    const logits = sumsOf(output, example);
    const bytes = output.outputStride << 2;
    memory.copy(control.logits + <usize>(at * bytes), logits, bytes);
    store<i32>(control.losses + <usize>(at << 2), crossEntropy(logits, labelOf(at), 0));
    store<u8>(control.predictions + <usize>at, predict(logits));
  }
}

@inline
export function labelOf(example: i32): i32 {
  return load<u8>(control.labels + <usize>example);
}

/**
 * Layers first…last of a disturbed tile whose activations are `inputs`; losses to the
 * scratch. The two activation buffers take turns.
 */
export function forwardFrom(first: i32, inputs: usize, tile: i32): void {
  const offsets = scratchOffsets();
  const sums = scratchBase + <usize>offsets.sums;
  const a = scratchBase + <usize>offsets.outputsA;
  const b = scratchBase + <usize>offsets.outputsB;
  const last = control.layers - 1;
  const scale = changetype<Scale>(scratchBase + <usize>offsets.words);
  let x = inputs;
  for (let index = first; index <= last; index++) {
    const layer = layerAt(index);
    const stride = layer.outputStride;
    linear(layer, x, sums);
    if (index == last) break;
    x = x == a ? b : a;
    for (let example = 0; example < TILE; example++) {
      const z = sums + <usize>((example * stride) << 2);
      measure(z, layer.rows, scale);
      normalize(z, layer.rows, stride, scale, x + <usize>(example * stride));
    }
  }
  const stride = layerAt(last).outputStride << 2;
  for (let example = 0; example < TILE; example++) {
    const loss = crossEntropy(sums + <usize>(example * stride), labelOf(tile * TILE + example), 0);
    store<i32>(scratchBase + <usize>(offsets.losses + (example << 2)), loss);
  }
}

@inline
function zipLow8(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

@inline
function zipHigh8(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** One stage of a 16 × 16 byte transposition: rows k and k + 8 are interleaved to 2k, 2k + 1. */
function zipStage8(from: usize, to: usize): void {
  for (let k: usize = 0; k < 128; k += 16) {
    const a = v128.load(from + k);
    const b = v128.load(from + k, 128);
    v128.store(to + 2 * k, zipLow8(a, b));
    v128.store(to + 2 * k, zipHigh8(a, b), 16);
  }
}

/** to[column, example] = from[example, column], 16 examples; `columns` is a multiple of 16. */
export function transposeBytes(from: usize, stride: i32, columns: i32, to: usize, toStride: i32): void {
  const offsets = scratchOffsets();
  const a = scratchBase + <usize>offsets.products;
  const b = a + 256;
  for (let column = 0; column < columns; column += 16) {
    for (let example = 0; example < 16; example++) {
      v128.store(a + <usize>(example << 4), v128.load(from + <usize>(example * stride + column)));
    }
    zipStage8(a, b);
    zipStage8(b, a);
    zipStage8(a, b);
    zipStage8(b, a);
    for (let i = 0; i < 16; i++) {
      v128.store(to + <usize>((column + i) * toStride), v128.load(a + <usize>(i << 4)));
    }
  }
}

@inline
function zipLow16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline
function zipHigh16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** One stage of an 8 × 8 transposition of i16. */
@inline
function zipStage16(from: usize, to: usize): void {
  for (let k: usize = 0; k < 64; k += 16) {
    const a = v128.load(from + k);
    const b = v128.load(from + k, 64);
    v128.store(to + 2 * k, zipLow16(a, b));
    v128.store(to + 2 * k, zipHigh16(a, b), 16);
  }
}

/** to[column, example] = from[example, column] of i16, 16 examples; strides in elements. */
export function transposeWords(from: usize, stride: i32, columns: i32, to: usize, toStride: i32): void {
  const a = scratchBase + <usize>scratchOffsets().products;
  const b = a + 128;
  for (let column = 0; column < columns; column += 8) {
    for (let half = 0; half < 16; half += 8) {
      for (let example = 0; example < 8; example++) {
        v128.store(
          a + <usize>(example << 4),
          v128.load(from + <usize>(((half + example) * stride + column) << 1)),
        );
      }
      zipStage16(a, b);
      zipStage16(b, a);
      zipStage16(a, b);
      for (let i = 0; i < 8; i++) {
        v128.store(to + <usize>(((column + i) * toStride + half) << 1), v128.load(b + <usize>(i << 4)));
      }
    }
  }
}
