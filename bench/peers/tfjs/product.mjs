// Matrix products of TensorFlow.js on one backend: node product.mjs '{"backend":"wasm","shapes":[[1024,784,256]],"seconds":1}'.
// Prints one JSON object: operations a second. wasm has no threads in Node.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { rate } from '../rate.mjs';

const { backend, shapes, seconds } = JSON.parse(process.argv[2]);
const require = createRequire(import.meta.url);
setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'wasm-out/'));
await tf.setBackend(backend);
const rates = [];
for (const [batch, inputs, units] of shapes) {
  const x = tf.randomUniform([batch, inputs]);
  const w = tf.randomUniform([inputs, units]);
  const product = () => {
    const z = tf.matMul(x, w); // tidy would search the values for tensors, which takes longer
    z.dataSync();
    z.dispose();
  };
  rates.push(2 * batch * inputs * units * (await rate(product, seconds)));
}
console.log(JSON.stringify({ name: `TensorFlow.js ${tf.version_core}, ${backend}, float32`, rates }));
