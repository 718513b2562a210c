// Matrix products of jax-js on its wasm backend: node product.mjs '{"shapes":[[1024,784,256]],"seconds":1}'.
// Prints one JSON object: operations a second.

import { readFileSync } from 'node:fs';
import { rate } from '../rate.mjs';

globalThis.navigator ??= { hardwareConcurrency: 1 }; // it asks for one, and Node 20 has none
const { defaultDevice, init, jit, numpy: np } = await import('@jax-js/jax');
const { shapes, seconds } = JSON.parse(process.argv[2]);
await init('wasm');
defaultDevice('wasm');
const multiply = jit((x, w) => np.matmul(x, w));
const random = (rows, columns) =>
  np.array(Float32Array.from({ length: rows * columns }, Math.random)).reshape([rows, columns]);
const rates = [];
for (const [batch, inputs, units] of shapes) {
  const x = random(batch, inputs);
  const w = random(inputs, units);
  const product = () => multiply(x.ref, w.ref).dataSync();
  rates.push(2 * batch * inputs * units * (await rate(product, seconds)));
}
const { version } = JSON.parse(
  readFileSync(new URL('node_modules/@jax-js/jax/package.json', import.meta.url), 'utf8'),
);
console.log(JSON.stringify({ name: `jax-js ${version}, wasm, float32`, rates }));
process.exit(0); // its threads would wait for more
