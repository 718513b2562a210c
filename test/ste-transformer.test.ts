/**
 * The transformer in TensorFlow.js: on every backend its losses are those of the integer network, and the fused
 * kernels' gradients are those of the composed operations.
 */

import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchOfWindows } from '../src/backend/batch.js';
import { rescalingOf } from '../src/ops/rescale/ste.js';
import { openTensorflow, type TensorflowBackend } from '../src/backprop/tensorflow.js';
import { type BatchTensors, type Integers, SteProgram } from '../src/backprop/ops.js';
import {
  type Transformer,
  transformerOf,
  type TransformerShape,
} from '../src/ternary/builders/transformer.js';
import { reference } from './support/backends.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const SHAPES: Readonly<Record<string, TransformerShape>> = {
  plain: SMALL_SHAPE,
  'shared keys, looped': { ...SMALL_SHAPE, keyHeads: 2, loopFrom: 1, loops: 3, width: 48, hidden: 36 },
  'tied and ternary': { ...SMALL_SHAPE, tied: true, embedding: 'ternary', heads: 2, keyHeads: 1 },
};
const WINDOWS = 3;
const LENGTH = 12;

/** Values of a model as training has them. */
function integersOf(model: Transformer, values: Int8Array) {
  const scales = values.subarray(model.scales.offset);
  return {
    weights: model.tensors.slice(0, -1).map(({ offset, rows, columns }) => {
      return tf.tensor2d(Float32Array.from(values.subarray(offset, offset + rows * columns)), [
        rows,
        columns,
      ]);
    }),
    scales: Array.from({ length: scales.length / 2 }, (_, i) =>
      rescalingOf(scales[2 * i], scales[2 * i + 1]),
    ),
  };
}

function windowsOf(text: Uint8Array, length: number): BatchTensors {
  const pick = (shift: number) =>
    Int32Array.from({ length: WINDOWS * length }, (_, i) => {
      return text[Math.floor(i / length) * (length + 1) + (i % length) + shift];
    });
  return { inputs: tf.tensor1d(pick(0), 'int32'), labels: tf.tensor1d(pick(1), 'int32'), length };
}

/** Losses, hits and gradients on the current backend of TensorFlow.js. */
function results(shape: TransformerShape, length = LENGTH) {
  const model = transformerOf(shape);
  const values = randomValues(model, 3);
  const text = randomText(WINDOWS, length + 1);
  const pass = new SteProgram(model);
  const { weights, scales } = integersOf(model, values);
  const integers = (given: readonly tf.Tensor[]): Integers => ({ tensors: given, scales });
  const windows = windowsOf(text, length);
  const { losses, hits, loss } = tf.tidy(() => {
    const { losses: each, hits: right, loss: mean } = pass.loss(integers(weights), windows);
    return { losses: each.dataSync(), hits: right.dataSync(), loss: mean.dataSync()[0] };
  });
  const gradients = tf
    .grads((...given) => pass.loss(integers(given), windows).loss)(weights as tf.Tensor[])
    .map((gradient) => gradient.dataSync<'float32'>());
  pass.dispose();
  return { model, values, text, losses, hits, loss, gradients };
}

describe.each(['cpu', 'wasm'] as const)('on %s', (name) => {
  let backend: TensorflowBackend;
  beforeAll(async () => {
    backend = await openTensorflow(name);
  });
  afterAll(() => backend.close());

  const lengths = Object.entries(SHAPES).flatMap(([shape, it]) =>
    [LENGTH, 1, 5, 7, 10].map((length) => [shape, length, it] as const),
  );
  it.each(lengths)(
    'a transformer (%s) has the losses of the integer network in windows of %i',
    async (_, length, shape) => {
      const { model, values, text, losses, hits } = results(shape, length);
      const placed = await reference.place(model, { batch: WINDOWS });
      await placed.writeWeights(values);
      placed.load(batchOfWindows(text, length));
      const exact = await placed.evaluate();
      losses.forEach((loss, i) => expect(loss / Math.LN2).toBeCloseTo(exact.losses[i] / 65_536, 3));
      const right = Array.from(exact.predictions, (prediction, i) => {
        return prediction === text[Math.floor(i / length) * (length + 1) + (i % length) + 1] ? 1 : 0;
      });
      expect([...hits]).toEqual(right);
    },
  );
});

it.each(Object.entries(SHAPES))(
  'gradients of fused kernels (%s) are those of the composed',
  async (_, shape) => {
    const each: ReturnType<typeof results>[] = [];
    for (const name of ['cpu', 'wasm'] as const) {
      const backend = await openTensorflow(name);
      each.push(results(shape));
      await backend.close();
    }
    const [composed, fused] = each;
    composed.gradients.forEach((expected, tensor) => {
      const got = fused.gradients[tensor];
      const size = Math.sqrt(expected.reduce((sum, value) => sum + value ** 2, 0) / expected.length);
      expect(size).toBeGreaterThan(0);
      const error = Math.sqrt(
        expected.reduce((sum, value, i) => sum + (value - got[i]) ** 2, 0) / expected.length,
      );
      expect(error / size, `tensor ${tensor}`).toBeLessThan(1e-3);
    });
  },
);
