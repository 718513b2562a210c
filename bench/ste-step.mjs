// One training step of ternseed's ste trainer on random data, for bench/ste.mjs to hold against
// its peers: node bench/ste-step.mjs '{"widths":[784,256,10],"batch":128,"seconds":3}'. Prints one
// JSON line like they do.

import { openTensorflow, STE_PRESETS, SteTrainer } from '../dist/src/backprop/index.js';
import { median } from './report.mjs';

const { widths, batch, seconds } = JSON.parse(process.argv[2]);
const count = 4096;
const draw = () => Math.floor(Math.random() * 128);
const data = {
  inputs: Uint8Array.from({ length: count * widths[0] }, draw), // dense, as the peers have it
  labels: Uint8Array.from({ length: count }, () => Math.floor(Math.random() * widths.at(-1))),
  count,
  width: widths[0],
};
const config = {
  ...STE_PRESETS.default,
  ...{ model: widths.join('-'), batch, shift: 0, quantizer: ['absmean'], threshold: [1] },
  ...{ learningRate: 0.001, weightDecay: 0.01, schedule: 'constant', warmup: 0, steps: 10_000_000 },
};
const backend = await openTensorflow('wasm');
const trainer = await SteTrainer.create(config, data);
for (let step = 0; step < 20; step++) await trainer.next();
const times = [];
for (const started = performance.now(); performance.now() - started < seconds * 1000;) {
  const before = performance.now();
  await trainer.next();
  times.push(performance.now() - before);
}
const outcome = { name: `ternseed, ${backend.summary}`, threads: 1, batch, steps: times.length };
process.stdout.write(`${JSON.stringify({ ...outcome, stepMs: median(times), minMs: Math.min(...times) })}\n`);
await backend.close();
