// Time of one training step of a ternary multilayer perceptron in plain TensorFlow.js on its wasm
// backend, written as its documentation writes such a step: the network of docs/arithmetic.md on
// float tensors that hold integers, trained by backprop through a straight-through estimator.
// The steps are those of bench/peers/torch/step.py, but Adam has no weight decay here. Prints one
// line of JSON. Called by bench/ste.mjs.
//
//   node plain-step.mjs '{"widths":[784,256,256,256,10],"batch":128,"seconds":3,"threads":2}'
//   node plain-step.mjs '{...}' --check    # first and last loss of 50 steps on one batch

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs'; // tfjs-core alone has no gradients in Node
import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

const ACTIVATION_MAX = 127;
const GAIN = 25;
const LOGIT_SCALE = 900;
const WARM_UP_STEPS = 10;
const CHECK_STEPS = 50;

const { widths, batch, seconds, threads } = JSON.parse(process.argv[2]);
const require = createRequire(import.meta.url);
setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'wasm-out/'));
setThreadsCount(threads);
await tf.setBackend('wasm');

/** absmean: round(w / mean|w|) clamped to −1…1; the gradient passes unchanged. */
const ternary = tf.customGrad((weight) => ({
  value: weight.div(weight.abs().mean()).round().clipByValue(-1, 1),
  gradFunc: (gradient) => gradient,
}));

/** Rounds; the gradient passes unchanged. */
const round = tf.customGrad((value) => ({ value: value.round(), gradFunc: (gradient) => gradient }));

// Uniform in ±1/√N, as PyTorch starts a linear layer. Weights are [M, N].
const weights = widths.slice(1).map((rows, layer) => {
  const bound = 1 / Math.sqrt(widths[layer]);
  return tf.variable(tf.randomUniform([rows, widths[layer]], -bound, bound, 'float32', 1 + layer));
});
const optimizer = tf.train.adam(1e-3, 0.9, 0.99);
const inputs = tf.randomUniformInt([batch, widths[0]], 0, ACTIVATION_MAX + 1, 11).toFloat();
const labels = tf.oneHot(tf.randomUniformInt([batch], 0, widths.at(-1), 12), widths.at(-1));

function logitsOf(inputs) {
  // x is [B, N], z is [B, M]; matMul's own transposeB takes 89 ms a step instead of 70
  let x = inputs;
  for (const weight of weights.slice(0, -1)) {
    let z = x.matMul(ternary(weight).transpose());
    z = z.sub(round(z.mean(1, true)));
    const size = round(z.abs().mean(1, true)).maximum(1);
    x = round(z.mul(tf.div(GAIN, size)).clipByValue(0, ACTIVATION_MAX)); // ReLU and upper limit
  }
  const logits = x.matMul(ternary(weights.at(-1)).transpose());
  return logits.mul((LOGIT_SCALE / 65_536) * Math.LN2);
}

/** One step; its loss, when asked for, is the caller's to dispose of. */
function step(returnLoss = false) {
  return optimizer.minimize(() => tf.losses.softmaxCrossEntropy(labels, logitsOf(inputs)), returnLoss);
}

if (process.argv.includes('--check')) {
  const losses = Array.from({ length: CHECK_STEPS }, () => tf.tidy(() => step(true).dataSync()[0]));
  console.log(JSON.stringify({ steps: CHECK_STEPS, firstLoss: losses[0], lastLoss: losses.at(-1) }));
  process.exit();
}

for (let i = 0; i < WARM_UP_STEPS; i++) step();
const timesMs = [];
const ends = performance.now() + seconds * 1000;
while (performance.now() < ends) {
  const started = performance.now();
  step();
  timesMs.push(performance.now() - started);
}
timesMs.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    name: `TensorFlow.js ${tf.version.tfjs}, wasm, plain code`,
    threads: (await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT')) ? threads : 1,
    batch,
    stepMs: timesMs[Math.floor(timesMs.length / 2)],
    minMs: timesMs[0],
    steps: timesMs.length,
  }),
);
