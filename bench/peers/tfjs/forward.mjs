// Forward passes per second of a float multilayer perceptron in TensorFlow.js on its wasm
// backend: linear, layer normalization without affine parameters, ReLU, as the integer network
// has them. Prints one JSON object. Called by bench/mnist.mjs.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { rate } from '../rate.mjs';

const [widths, batch, seconds] = JSON.parse(process.argv[2]);
const require = createRequire(import.meta.url);
setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'wasm-out/'));
setThreadsCount((await import('node:os')).availableParallelism());
await tf.setBackend('wasm');

const weights = widths.slice(1).map((width, layer) => tf.randomUniform([widths[layer], width], -1, 1));
const inputs = tf.randomUniform([batch, widths[0]]);

function forward() {
  return tf.tidy(() => {
    let x = inputs;
    weights.forEach((weight, layer) => {
      x = tf.matMul(x, weight);
      if (layer === weights.length - 1) return;
      const centred = tf.sub(x, tf.mean(x, 1, true));
      x = tf.relu(tf.div(centred, tf.mean(tf.abs(centred), 1, true)));
    });
    return x.dataSync();
  });
}

const passesPerSecond = batch * (await rate(forward, seconds));
console.log(
  JSON.stringify({
    name: `TensorFlow.js ${tf.version_core}, wasm`,
    simd: await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'),
    threads: await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT'),
    passesPerSecond,
  }),
);
