/** The ste trainer's operations, on every TensorFlow.js backend, against the integer network and plain arithmetic. */

import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linear, rescale } from '../src/ops/linear/ste.js';
import { crossEntropy } from '../src/ops/loss/ste.js';
import { normalizeRelu } from '../src/ops/normalize/ste.js';
import { PoolTensor } from '../src/backprop/pool-tensor.js';
import type { TensorflowBackend } from '../src/backprop/tensorflow.js';
import { directionOfWeight, poolSets, Signs } from '../src/random/directions.js';
import { initLatents, tritOf } from '../src/random/latents.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { normalizeRelu as normalizeExactly, scaleOf } from '../src/ops/normalize/op.js';
import { finishSum } from '../src/ternary/precision.js';
import { webgpuFault } from './support/adapter.js';
import { because } from './support/missing.js';
import { tensorflowBackends } from './support/tensorflow.js';

/** Numbers from a fixed seed. */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
const integers = (length: number, least: number, largest: number, seed = 1) => {
  const draw = draws(seed);
  return Float32Array.from({ length }, () => least + Math.floor(draw() * (largest - least + 1)));
};
const matrix = (values: Float32Array, rows: number) => tf.tensor2d(values, [rows, values.length / rows]);
const reals = (length: number, seed = 2) => integers(length, -1000, 1000, seed).map((value) => value / 1000);

const shapes = fc.record({
  batch: fc.integer({ min: 1, max: 37 }),
  inputs: fc.integer({ min: 1, max: 70 }),
  outputs: fc.integer({ min: 1, max: 45 }),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});

describe.each(tensorflowBackends)('%s', (name, open) => {
  const missing = name === 'webgpu' && webgpuFault !== null;
  const runs = name === 'webgpu' ? 8 : 40; // a software adapter compiles every shape
  let backend: TensorflowBackend;
  beforeAll(async () => {
    if (!missing) backend = await open();
  });
  afterAll(() => backend?.close());

  describe.skipIf(missing)(`has${missing ? because(webgpuFault) : ''}`, () => {
    it('the sums of products of the integer network, and their gradients', async () => {
      await fc.assert(
        fc.asyncProperty(shapes, fc.boolean(), async ({ batch, inputs, outputs, seed }, wide) => {
          const largest = wide ? 127 : 1;
          const x = integers(batch * inputs, 0, 127, seed);
          const w = integers(outputs * inputs, -largest, largest, seed + 1);
          const dz = integers(batch * outputs, -8, 8, seed + 2);
          const [z, dx, dw] = await evaluate(() => {
            const [a, b] = [matrix(x, batch), matrix(w, outputs)];
            const value = linear(a, b, { isInput: false, wide });
            const { grads } = tf.valueAndGrads((...args) =>
              linear(args[0] as tf.Tensor2D, args[1] as tf.Tensor2D, { isInput: false, wide }),
            )([a, b], matrix(dz, batch)) as unknown as { grads: tf.Tensor[] };
            return [value, ...grads];
          });
          const sum = (length: number, term: (k: number) => number) =>
            Array.from({ length }, (_, k) => term(k)).reduce((total, value) => total + value, 0);
          for (let b = 0; b < batch; b++) {
            for (let j = 0; j < outputs; j++) {
              expect(z[b * outputs + j]).toBe(sum(inputs, (k) => x[b * inputs + k] * w[j * inputs + k]) + 0);
            }
          }
          const [b, j, k] = [batch - 1, outputs - 1, inputs - 1];
          expect(dx[b * inputs + k]).toBe(sum(outputs, (m) => dz[b * outputs + m] * w[m * inputs + k]) + 0);
          expect(dw[j * inputs + k]).toBe(sum(batch, (n) => dz[n * outputs + j] * x[n * inputs + k]) + 0);
        }),
        { numRuns: runs },
      );
    });

    it('normalize + ReLU of the integer network, to the bit', async () => {
      await fc.assert(
        fc.asyncProperty(
          shapes,
          fc.boolean(),
          fc.integer({ min: 1, max: 127 }),
          fc.constantFrom(0, 3, 2000, 127 * 70),
          async ({ batch, outputs, seed }, centred, gain, size) => {
            const z = integers(batch * outputs, -size, size, seed);
            const [q] = await evaluate(() => [normalizeRelu(matrix(z, batch), { centred, gain })]);
            for (let b = 0; b < batch; b++) {
              const row = Int32Array.from(z.subarray(b * outputs, (b + 1) * outputs));
              const exact = new Uint8Array(outputs);
              normalizeExactly(row, gain, scaleOf(row, centred), exact);
              expect([...q.subarray(b * outputs, (b + 1) * outputs)]).toEqual([...exact]);
            }
          },
        ),
        // Where 2^24 is passed and a rounding is close: float32 would give 64 for 63.
        {
          numRuns: runs,
          examples: [[{ batch: 1, inputs: 1, outputs: 41, seed: 1048278856 }, false, 127, 2000]],
        },
      );
    });

    it.each([true, false])(
      'the gradient of normalize + ReLU without its roundings (centred: %s)',
      async (centred) => {
        // y = clip(gain·(z − mean)/mean|z − mean|, 0, 127), differentiated by central differences in f64.
        const [batch, units, gain] = [3, 11, 25];
        const z = integers(batch * units, -3000, 3000, 7);
        const dy = reals(batch * units);
        const smooth = (row: number[]) => {
          const mean = centred ? row.reduce((sum, value) => sum + value, 0) / units : 0;
          const scale = row.reduce((sum, value) => sum + Math.abs(value - mean), 0) / units;
          return row.map((value) => Math.min(127, Math.max(0, (gain * (value - mean)) / scale)));
        };
        const [dz] = await evaluate(() => [
          tf.grad((value) => normalizeRelu(value as tf.Tensor2D, { centred, gain }))(
            matrix(z, batch),
            matrix(dy, batch),
          ),
        ]);
        for (let b = 0; b < batch; b++) {
          const row = [...z.subarray(b * units, (b + 1) * units)];
          const weights = [...dy.subarray(b * units, (b + 1) * units)];
          const along = (values: number[]) => smooth(values).reduce((sum, y, i) => sum + y * weights[i], 0);
          row.forEach((value, j) => {
            const slope = (along(row.with(j, value + 0.01)) - along(row.with(j, value - 0.01))) / 0.02;
            expect(dz[b * units + j]).toBeCloseTo(slope, 4);
          });
        }
      },
    );

    it('a cross-entropy with softmax minus target as its gradient', async () => {
      const [batch, classes, logitScale] = [4, 5, 900];
      const logits = integers(batch * classes, -200, 200, 5);
      const labels = [0, 4, 2, 2];
      const [loss, gradient] = await evaluate(() => {
        const classesOf = tf.tensor1d(labels, 'int32');
        const { value, grad } = tf.valueAndGrad(
          (z) => crossEntropy(z as tf.Tensor2D, classesOf, logitScale / 65_536).loss,
        )(matrix(logits, batch));
        return [value, grad];
      });
      let total = 0;
      labels.forEach((label, b) => {
        const weights = [...logits.subarray(b * classes, (b + 1) * classes)].map(
          (z) => 2 ** ((z * logitScale) / 65_536),
        );
        const sum = weights.reduce((all, weight) => all + weight, 0);
        total -= Math.log(weights[label] / sum);
        weights.forEach((weight, c) => {
          const error = (weight / sum - (c === label ? 1 : 0)) * ((logitScale * Math.LN2) / 65_536 / batch);
          expect(gradient[b * classes + c]).toBeCloseTo(error, 7);
        });
      });
      expect(loss[0]).toBeCloseTo(total / batch, 5);
    });

    it('the sums of wider weights brought back by shift and row scale, to the bit', async () => {
      for (const shift of [0, 3, 7]) {
        const sums = integers(6 * 5, -(127 * 127 * 60), 127 * 127 * 60, shift);
        const scales = [1, 64, 127, 100, 3];
        const [plain, scaled, gradient] = await evaluate(() => {
          const z = matrix(sums, 6);
          const rowScales = tf.tensor1d(scales);
          const slope = tf.grad((value) => rescale(value as tf.Tensor2D, shift, rowScales))(
            z,
            tf.onesLike(z),
          );
          return [rescale(z, shift), rescale(z, shift, rowScales), slope];
        });
        sums.forEach((sum, i) => {
          expect(plain[i] + 0).toBe(finishSum(sum, shift, null) + 0);
          expect(scaled[i] + 0).toBe(finishSum(sum, shift, scales[i % 5]) + 0);
          expect(gradient[i]).toBeCloseTo(scales[i % 5] / 128 / 2 ** shift, 7);
        });
      }
    });

    it.each([0, 1, 5])(
      'the weights of a seed pool and the sums over its directions (cut %i)',
      async (cut) => {
        const network = networkOf([19, 7], { centred: true, gain: 25, logitScale: 1 });
        const [set] = poolSets(network.tensors, [3, 4], [10]);
        const c = reals(10, 9).map((value) => value * (3 * cut + 2));
        const dq = reals(19 * 7, 8);
        const [q, dc] = await evaluate(() => {
          const pool = new PoolTensor(set, network.layers[0].weights, cut);
          const { value, grad } = tf.valueAndGrad((x) => pool.expand(x as tf.Tensor1D))(
            tf.tensor1d(c),
            matrix(dq, 7),
          );
          pool.dispose();
          return [value, grad];
        });
        const latents = new Int8Array(19 * 7);
        initLatents([3, 4], 0, cut, latents);
        const signs = new Signs(set);
        const sums = new Float64Array(10);
        latents.forEach((latent, i) => {
          const k = directionOfWeight(set, i);
          const coefficient = Math.sign(c[k]) * Math.floor(Math.abs(c[k]) + 0.5);
          expect(q[i] + 0).toBe(tritOf(latent + coefficient * signs.at(i), cut));
          sums[k] += dq[i] * signs.at(i);
        });
        sums.forEach((sum, k) => expect(dc[k]).toBeCloseTo(sum, 5));
      },
    );
  });
});

/** The values of some tensors; everything is freed. */
async function evaluate(make: () => tf.Tensor[]): Promise<Float32Array[]> {
  const before = tf.memory().numTensors;
  const tensors = tf.tidy(make);
  const values: Float32Array[] = [];
  for (const tensor of tensors) values.push(Float32Array.from(await tensor.data()));
  tf.dispose(tensors);
  expect(tf.memory().numTensors).toBe(before);
  return values;
}
