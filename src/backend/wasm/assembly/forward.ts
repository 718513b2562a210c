// The unperturbed pass of one tile of examples, and the layers above a disturbed one.

import { crossEntropy, finishSums, measure, normalize, predict, ternaryProduct, wideProduct } from './arithmetic';
import { control, Layer, layerAt, Scale, scratchBase, scratchOffsets, TILE } from './control';
import { tableProduct, takesTables } from './tables';

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

/** Examples of the batch that are in a tile. */
@inline
export function examplesOf(tile: i32): i32 {
  return min(TILE, control.batch - tile * TILE);
}

/** The pre-activations of the first examples of a tile, z[examples, outputStride]. */
function linear(layer: Layer, examples: i32, x: usize, z: usize): void {
  const stride = layer.inputStride;
  if (takesTables(layer, examples)) tableProduct(layer, x, z);
  else if (layer.wide) wideProduct(examples, x, layer.weights, stride, layer.paddedRows, z, layer.outputStride);
  else ternaryProduct(examples, x, layer.weights, stride, layer.paddedRows, z, layer.outputStride);
  finishSums(layer, examples, z);
}

/** All layers; logits, losses and predictions to the batch's arrays. */
export function forwardTile(tile: i32): void {
  const last = control.layers - 1;
  const examples = examplesOf(tile);
  for (let index = 0; index <= last; index++) {
    const layer = layerAt(index);
    linear(layer, examples, inputsOf(index, tile), sumsOf(layer, 0));
    if (index == last) break;
    for (let example = 0; example < examples; example++) {
      const scale = scaleOf(layer, example);
      const sums = sumsOf(layer, example);
      measure(sums, layer.rows, scale);
      normalize(sums, layer.rows, layer.outputStride, scale, outputsOf(layer, example));
    }
  }
  const output = layerAt(last);
  for (let example = 0; example < examples; example++) {
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
  const examples = examplesOf(tile);
  const scale = changetype<Scale>(scratchBase + <usize>offsets.words);
  let x = inputs;
  for (let index = first; index <= last; index++) {
    const layer = layerAt(index);
    const stride = layer.outputStride;
    linear(layer, examples, x, sums);
    if (index == last) break;
    x = x == a ? b : a;
    for (let example = 0; example < examples; example++) {
      const z = sums + <usize>((example * stride) << 2);
      measure(z, layer.rows, scale);
      normalize(z, layer.rows, stride, scale, x + <usize>(example * stride));
    }
  }
  const stride = layerAt(last).outputStride << 2;
  for (let example = 0; example < examples; example++) {
    const loss = crossEntropy(sums + <usize>(example * stride), labelOf(tile * TILE + example), 0);
    store<i32>(scratchBase + <usize>(offsets.losses + (example << 2)), loss);
  }
}
