/**
 * A perceptron in floating point, trained by plain stochastic gradient descent: linear layers without
 * biases, ReLU between them, softmax at the end, as PyTorch's `nn.Sequential` has them. It is what other
 * tools make and this library imports.
 */

import { gaussians } from './gaussians.js';

export interface FloatExamples {
  /** [count, width] u7; a real input is a 127th of it. */
  readonly inputs: Uint8Array;
  readonly labels: Uint8Array;
  readonly count: number;
  readonly width: number;
}

export interface FloatLayer {
  readonly rows: number;
  readonly columns: number;
  readonly weights: number[];
}

/** Trains; the same weights always. */
export function trainFloatMlp(widths: readonly number[], data: FloatExamples, epochs: number): FloatLayer[] {
  const layers = widths.slice(1).map((rows, layer) => {
    const columns = widths[layer];
    const scale = Math.sqrt(2 / columns);
    return { rows, columns, weights: gaussians(`layer ${layer}`, rows * columns).map((w) => w * scale) };
  });
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let example = 0; example < data.count; example++) descend(layers, data, example, 0.02);
  }
  return layers;
}

/** The class of every example. */
export function predict(layers: readonly FloatLayer[], data: FloatExamples): number[] {
  return Array.from({ length: data.count }, (_, example) => {
    const logits = forward(layers, data, example).at(-1) as number[];
    return logits.indexOf(Math.max(...logits));
  });
}

/** The inputs and the outputs of every layer, those of hidden ones after the ReLU. */
function forward(
  layers: readonly FloatLayer[],
  { inputs, width }: FloatExamples,
  example: number,
): number[][] {
  const activations = [Array.from(inputs.subarray(example * width, (example + 1) * width), (x) => x / 127)];
  layers.forEach(({ rows, columns, weights }, layer) => {
    const x = activations[layer];
    const z = Array.from({ length: rows }, (_, row) =>
      x.reduce((sum, value, column) => sum + value * weights[row * columns + column], 0),
    );
    activations.push(layer + 1 < layers.length ? z.map((value) => Math.max(0, value)) : z);
  });
  return activations;
}

function descend(layers: readonly FloatLayer[], data: FloatExamples, example: number, rate: number): void {
  const activations = forward(layers, data, example);
  const logits = activations[layers.length];
  const top = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - top));
  const total = powers.reduce((sum, power) => sum + power, 0);
  let errors = powers.map((power, label) => power / total - (label === data.labels[example] ? 1 : 0));
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const { columns, weights } = layers[layer];
    const x = activations[layer];
    const below = x.map((value, column) =>
      value > 0 ? errors.reduce((sum, error, row) => sum + error * weights[row * columns + column], 0) : 0,
    );
    errors.forEach((error, row) => {
      for (let column = 0; column < columns; column++)
        weights[row * columns + column] -= rate * error * x[column];
    });
    errors = below;
  }
}
