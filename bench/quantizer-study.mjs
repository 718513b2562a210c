// One run of bench/ste.mjs's study of QuEST on MNIST: a float32 perceptron whose weights, or weights
// and activations, are quantized by QuEST while it trains. The integer network has no rotation,
// so this is the only place where QuEST is seen with it:
//   node bench/quantizer-study.mjs '{"bits":2,"activations":true,"rotate":true,"seed":"1","steps":600}'
// `bits` is 1, 2, 4, 8 or "ternary", or 0 for float32. Prints one JSON line.

import * as tf from '@tensorflow/tfjs-core';
import {
  AdamW,
  crossEntropy,
  factorsAt,
  hadamard,
  openTensorflow,
  questFake,
} from '../dist/src/backprop/index.js';
import { Batches } from '../dist/src/data/batches.js';
import { loadMnist } from '../dist/src/data/dataset.js';
import { FUSED, runFused } from '../dist/src/backprop/kernels/fused.js';
import { gaussians } from '../dist/src/backprop/shadows.js';
import { keyOf } from '../dist/src/random/key.js';

const WIDTHS = [784, 256, 256, 256, 10];
const BATCH = 256;
const RATE = 0.002;
/** `crossEntropy` reads logits in 2^-16 bits by this scale: 1 nat a unit. */
const NAT_SCALE = 65_536 / Math.LN2;

const { bits, activations, rotate, seed, steps } = JSON.parse(process.argv[2]);
const backend = await openTensorflow('wasm');
const data = await loadMnist();
const key = keyOf(seed);
const batches = new Batches(key, data.train, BATCH);
const weights = WIDTHS.slice(1).map((rows, layer) => {
  const columns = WIDTHS[layer];
  return tf.variable(tf.tensor2d(gaussians(key, layer, rows * columns, columns), [rows, columns]));
});
const optimizer = new AdamW(
  weights.map((variable, i) => ({ name: `layer${i}`, variable, decays: false, limit: Infinity })),
  { beta1: 0.9, beta2: 0.99 },
);

for (let step = 0; step < steps; step++) {
  batches.load(step);
  tf.tidy(() => {
    const x = inputs(batches.inputs, BATCH);
    const targets = oneHot(batches.labels);
    const { grads } = tf.variableGrads(() => crossEntropy(logits(x), targets, NAT_SCALE), weights);
    const { rate } = factorsAt('cosine', step, steps, 0.05);
    const gradients = weights.map(({ name }) => grads[name]);
    optimizer.step(gradients, { learningRate: rate * RATE, weightDecay: 0 });
  });
}
let right = 0;
for (let first = 0; first < data.test.count; first += 1000) {
  const guesses = tf.tidy(() =>
    tf.argMax(logits(inputs(data.test.inputs.subarray(first * 784, (first + 1000) * 784), 1000)), 1),
  );
  (await guesses.data()).forEach((guess, i) => (right += guess === data.test.labels[first + i] ? 1 : 0));
  guesses.dispose();
}
process.stdout.write(`${JSON.stringify({ bits, activations, rotate, accuracy: right / data.test.count })}\n`);
await backend.close();

function inputs(pixels, count) {
  return tf.tensor2d(
    Float32Array.from(pixels, (pixel) => pixel / 127),
    [count, 784],
  );
}

function oneHot(labels) {
  return tf.cast(tf.oneHot(tf.tensor1d(Int32Array.from(labels), 'int32'), 10), 'float32');
}

/** Linear layers on quantized operands; between them the root mean square is divided out, then ReLU. */
function logits(x) {
  let a = x;
  for (const [layer, w] of weights.entries()) {
    const quantizedWeights = bits === 0 ? w : questFake(w, bits, rotate);
    const rotated = rotate && bits !== 0 ? hadamard(a) : a;
    const quantized = activations && bits !== 0 ? questFake(rotated, bits, false) : rotated;
    const z = product(quantized, quantizedWeights);
    if (layer === weights.length - 1) return z;
    a = normalizedRelu(z);
  }
}

/** z = x·wᵀ, by the float32 products of ternseed's own kernels. */
function product(x, w) {
  return tf.customGrad((a, b, save) => {
    save([a, b]);
    return {
      value: runFused(FUSED.inputGradient, { dz: a, q: tf.transpose(b) }),
      gradFunc: (dz, [left, right]) => [
        runFused(FUSED.inputGradient, { dz, q: right }),
        runFused(FUSED.weightGradient, { dz, x: left }),
      ],
    };
  })(x, w);
}

/** relu(z / rms(z)) over each row. */
function normalizedRelu(z) {
  return tf.customGrad((rows, save) => {
    const scale = tf.sqrt(tf.add(tf.mean(tf.square(rows), 1, true), 1e-6));
    const y = tf.div(rows, scale);
    save([y, scale]);
    return {
      value: tf.relu(y),
      gradFunc: (da, [normal, s]) => {
        const dy = tf.mul(da, tf.cast(tf.greater(normal, 0), 'float32'));
        const along = tf.mean(tf.mul(dy, normal), 1, true);
        return tf.div(tf.sub(dy, tf.mul(normal, along)), s);
      },
    };
  })(z);
}
