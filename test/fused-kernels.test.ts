/**
 * Every fused kernel of TensorFlow.js's wasm backend, at sizes of all kinds: the values and gradients of the composed
 * operation on the plain cpu backend, and not a byte written outside of an array.
 */

import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FUSED } from '../src/backprop/kernels/fused.js';
import { attention, softmaxTensor } from '../src/ops/attention/ste.js';
import { gated, hiddenUnits, siluTensors } from '../src/ops/gate/ste.js';
import { linear } from '../src/ops/linear/ste.js';
import { normalizeRelu } from '../src/ops/normalize/ste.js';
import { PoolTensor } from '../src/backprop/pool-tensor.js';
import { requantize, requantizeFiner, rounded, rescalingOf } from '../src/ops/rescale/ste.js';
import { addToStream } from '../src/ops/residual/ste.js';
import { rmsNorm } from '../src/ops/rms-norm/ste.js';
import { rotaryTensors, rotate } from '../src/ops/rotary/ste.js';
import { embed } from '../src/ops/embedding/ste.js';
import { crossEntropy } from '../src/ops/loss/ste.js';
import { AdamW } from '../src/backprop/optimizers/adamw.js';
import { ternarize } from '../src/backprop/quantizers/threshold.js';
import { openTensorflow } from '../src/backprop/tensorflow.js';
import { ABSMEAN } from '../src/quantize/rules.js';
import { poolSets } from '../src/random/directions.js';
import { softmaxScale } from '../src/ops/attention/op.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { LOGIT_MAX } from '../src/ternary/units.js';
import { GuardedMemory } from './support/guarded-memory.js';

/** Sizes of a case; which of them count depends on the operation. */
interface Sizes {
  rows: number;
  columns: number;
  outputs: number;
  /** Of attention. */
  windows: number;
  context: number;
  keyHeads: number;
  share: number;
  headSize: number;
}

/** Draws of a case. */
class Draws {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  integers(length: number, least: number, largest: number): Float32Array {
    return Float32Array.from({ length }, () => least + Math.floor(this.#next() * (largest - least + 1)));
  }

  matrix(rows: number, columns: number, largest: number, least = -largest): tf.Tensor2D {
    return tf.tensor2d(this.integers(rows * columns, least, largest), [rows, columns]);
  }

  tokens(length: number, below: number): tf.Tensor1D {
    return tf.tensor1d(Int32Array.from(this.integers(length, 0, below - 1)), 'int32');
  }

  #next(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }
}

/** The value of an operation, and its gradients by what it is given, where that is asked of it. */
function withGradients(operate: (...given: tf.Tensor2D[]) => tf.Tensor, given: tf.Tensor2D[], draws: Draws) {
  const dy = (value: tf.Tensor) =>
    tf.tensor(draws.integers(value.size, -9, 9), value.shape as [number, number]);
  const value = operate(...given);
  const gradients = tf.grads((...args) => operate(...(args as tf.Tensor2D[])))(given, dy(value));
  return [value, ...gradients];
}

const scale = rescalingOf(93, 9);

/** What the kernels are for, each by the names of those that it runs. */
const OPERATIONS: [names: string, run: (sizes: Sizes, draws: Draws) => tf.Tensor[]][] = [
  [
    'linear weightGradient inputGradient',
    ({ rows, columns, outputs }, draws) => {
      const given = [draws.matrix(rows, columns, 127, 0), draws.matrix(outputs, columns, 1)];
      return withGradients((x, q) => linear(x, q, { isInput: false, wide: false }), given, draws);
    },
  ],
  [
    'linear of eight bits',
    ({ rows, columns, outputs }, draws) => {
      const given = [draws.matrix(rows, columns, 127, 0), draws.matrix(outputs, columns, 127)];
      return withGradients((x, q) => linear(x, q, { isInput: false, wide: true }), given, draws);
    },
  ],
  [
    'signedLinear',
    ({ rows, columns, outputs }, draws) => {
      const given = [draws.matrix(rows, columns, 127), draws.matrix(outputs, columns, 1)];
      return withGradients(
        (x, q) => linear(x, q, { isInput: false, wide: false, signed: true }),
        given,
        draws,
      );
    },
  ],
  [
    'signedLinear of eight bits',
    ({ rows, columns, outputs }, draws) => {
      const given = [draws.matrix(rows, columns, 127), draws.matrix(outputs, columns, 127)];
      return withGradients(
        (x, q) => linear(x, q, { isInput: false, wide: true, signed: true }),
        given,
        draws,
      );
    },
  ],
  [
    'normalize normalizeGradient',
    ({ rows, columns }, draws) => {
      const given = [draws.matrix(rows, columns, 3000)];
      return withGradients((z) => normalizeRelu(z, { centred: true, gain: 25 }), given, draws);
    },
  ],
  ['ternarize', ({ rows, columns }, draws) => [ternarize(draws.matrix(rows, columns, 999), ABSMEAN)]],
  [
    'expandPool poolGradient',
    ({ columns, outputs }, draws) => {
      const network = networkOf([columns + 1, outputs + 1], { centred: true, gain: 25, logitScale: 1 });
      const [set] = poolSets(network.tensors, [3, 4], [Math.min(7, columns)]);
      const pool = new PoolTensor(set, network.layers[0].weights, 1);
      const c = tf.tensor1d(draws.integers(set.directions, -9, 9));
      const { value, grad } = tf.valueAndGrad((x) => pool.expand(x as tf.Tensor1D))(
        c,
        draws.matrix(outputs + 1, columns + 1, 9),
      );
      pool.dispose();
      return [value, grad];
    },
  ],
  [
    'adamw',
    ({ rows, columns }, draws) => {
      const variable = tf.variable(draws.matrix(rows, columns, 1)) as tf.Variable;
      const parameter = { name: 'w', variable, decays: true, limit: 1 };
      const optimizer = new AdamW([parameter], { beta1: 0.9, beta2: 0.99 });
      optimizer.step([draws.matrix(rows, columns, 9)], { learningRate: 0.1, weightDecay: 0.1 });
      const moved = [variable, ...optimizer.state].map((tensor) => tensor.clone());
      variable.dispose();
      optimizer.dispose();
      return moved;
    },
  ],
  [
    'requantize requantizeGradient',
    ({ rows, columns }, draws) =>
      [
        requantize,
        requantizeFiner,
        (sums: tf.Tensor2D) => rounded(sums, scale, { before: 3, after: 0, limit: LOGIT_MAX }),
      ].flatMap((operate) =>
        withGradients((sums) => operate(sums, scale), [draws.matrix(rows, columns, 2000)], draws),
      ),
  ],
  [
    'addToStream',
    ({ rows, columns }, draws) => {
      const sums = draws.matrix(rows, columns, 2000);
      const units = tf.tensor2d(
        draws.integers(rows, 0, 3).map((power) => 2 ** power),
        [rows, 1],
      );
      return [
        addToStream(null, sums, scale),
        ...withGradients(
          (x, given) => addToStream(x, given, scale, units),
          [draws.matrix(rows, columns, 8_388_607), sums],
          draws,
        ),
      ];
    },
  ],
  [
    'rmsNorm rmsNormGradient',
    ({ rows, columns }, draws) => withGradients(rmsNorm, [draws.matrix(rows, columns + 7, 90_000)], draws),
  ],
  [
    'rotate rotateGradient',
    ({ windows, context, keyHeads, headSize }, draws) => {
      const size = 2 * headSize; // pairs
      const tables = rotaryTensors(size, context);
      const sums = draws.matrix(windows * context, keyHeads * size, 90_000);
      return withGradients((given) => rotate(given, scale, tables), [sums], draws);
    },
  ],
  [
    'attention attentionGradient',
    ({ windows, context, keyHeads, share, headSize }, draws) => {
      const heads = keyHeads * share;
      const [rows, own, shared] = [windows * context, heads * headSize, keyHeads * headSize];
      const given = [own, shared, shared].map((units) => draws.matrix(rows, units, 40));
      const softmax = softmaxScale(headSize, context);
      const shape = { context, heads, keyHeads, headSize, softmax };
      const table = softmaxTensor();
      return withGradients((q, k, v) => attention(q, k, v, table, shape), given, draws);
    },
  ],
  [
    'hiddenUnits gated gatedGradient',
    ({ rows, columns }, draws) => {
      const tables = siluTensors();
      const [gate, up] = [draws.matrix(rows, columns, 127), draws.matrix(rows, columns, 127)];
      const units = hiddenUnits(gate, up, tables);
      return [units, ...withGradients((g, u) => gated(g, u, units, tables), [gate, up], draws)];
    },
  ],
  [
    'embed embedGradient',
    ({ rows, columns, outputs }, draws) => {
      const tokens = draws.tokens(rows, outputs + 1);
      return withGradients((table) => embed(table, tokens), [draws.matrix(outputs + 1, columns, 127)], draws);
    },
  ],
  [
    'softmax softmaxGradient',
    ({ rows, columns }, draws) => {
      const labels = draws.tokens(rows, columns + 1);
      const logits = draws.matrix(rows, columns + 1, 5000);
      const { losses, hits } = crossEntropy(logits, labels, 2 ** -10);
      const gradient = tf.grad((given) => crossEntropy(given as tf.Tensor2D, labels, 2 ** -10).loss)(logits);
      return [losses, hits, gradient];
    },
  ],
];

const sizes = fc.record({
  rows: fc.integer({ min: 1, max: 19 }),
  columns: fc.integer({ min: 1, max: 37 }),
  outputs: fc.integer({ min: 1, max: 21 }),
  windows: fc.integer({ min: 1, max: 3 }),
  context: fc.integer({ min: 1, max: 21 }),
  keyHeads: fc.integer({ min: 1, max: 2 }),
  share: fc.integer({ min: 1, max: 2 }),
  headSize: fc.oneof(fc.constantFrom(4, 8, 20), fc.integer({ min: 1, max: 21 })),
});

let guarded: GuardedMemory;
beforeAll(async () => {
  await openTensorflow('cpu');
  await openTensorflow('wasm');
  guarded = new GuardedMemory();
});
afterAll(() => guarded.restore());

/** Values of all results on a backend; everything is freed. */
async function resultsOn(backend: 'cpu' | 'wasm', run: (draws: Draws) => tf.Tensor[], seed: number) {
  await tf.setBackend(backend);
  const tensors = tf.tidy(() => run(new Draws(seed)));
  const values = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(tensors);
  return values.map((array) => Float32Array.from(array));
}

describe('the memory’s guard', () => {
  it('finds what is written past an end, and before a beginning', async () => {
    await tf.setBackend('wasm');
    const { wasm, dataIdMap } = tf.backend() as unknown as {
      wasm: { HEAPU8: Uint8Array };
      dataIdMap: { get(id: object): { memoryOffset: number } };
    };
    const tensor = tf.tensor1d([1, 2, 3]);
    const { memoryOffset } = dataIdMap.get(tensor.dataId);
    expect(guarded.faults()).toEqual([]);
    wasm.HEAPU8[memoryOffset + 12] = 7;
    wasm.HEAPU8[memoryOffset - 1] = 7;
    tensor.dispose();
    const where = ['byte -1', 'byte 12'].map((byte) => `${byte} of an array of 12 bytes`);
    expect(guarded.faults()).toEqual(where);
  });
});

describe.each(OPERATIONS)('%s', (_, operate) => {
  it('has the composed operation’s values and gradients at all sizes, and writes nowhere else', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 0, max: 2 ** 31 }), async (given, seed) => {
        const run = (draws: Draws) => operate(given, draws);
        const [right, mine] = [await resultsOn('cpu', run, seed), await resultsOn('wasm', run, seed)];
        expect(guarded.faults()).toEqual([]);
        right.forEach((values, i) => {
          const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          values.forEach((value, at) => {
            expect(Math.abs(mine[i][at] - value), `result ${i}, at ${at}`).toBeLessThanOrEqual(
              3e-5 * largest + 1e-7,
            );
          });
        });
      }),
      { numRuns: 30, seed: 2026 },
    );
  });
});

it('every fused kernel of the wasm backend is among these', () => {
  const named = new Set(OPERATIONS.flatMap(([names]) => names.split(' ')));
  const kernels = new Set(tf.getKernelsForBackend('wasm').map(({ kernelName }) => kernelName));
  const missing = Object.entries(FUSED).filter(([name, kernel]) => kernels.has(kernel) && !named.has(name));
  expect(missing).toEqual([]);
});
