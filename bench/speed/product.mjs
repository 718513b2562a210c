// The product of activations and trits on one core, and what the machine can do at best, in wasm:
//   node bench/speed/product.mjs '{"shapes":[[1024,784,256]],"seconds":0.5}'
// Prints one JSON object: operations a second of both kernels with and without relaxed SIMD, and ceilings. An
// operation is a multiplication or an addition, as if each trit were multiplied.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { planMemory } from '../../dist/src/backend/wasm/plan.js';
import { CONTROL } from '../../dist/src/backend/wasm/structures.js';
import { encodersOf } from '../../dist/src/ops/instructions.js';
import { networkOf } from '../../dist/src/ternary/builders/perceptron.js';
import { root } from '../report.mjs';

if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');
const TILE = 32;
const READ_BYTES = 2 ** 26;

/** Compiles the kernels; null where the engine has no relaxed SIMD. */
export function compile(relaxed) {
  const require = createRequire(import.meta.url);
  const asc = join(dirname(require.resolve('assemblyscript/package.json')), 'bin/asc.js');
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-speed-'));
  const out = join(folder, 'kernels.wasm');
  const features = ['simd', 'bulk-memory', 'threads', ...(relaxed ? ['relaxed-simd'] : [])];
  execFileSync(process.execPath, [
    ...[asc, join(root, 'bench/speed/assembly/kernels.ts'), '-O3', '--noAssert', '--runtime', 'stub'],
    ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
    ...features.flatMap((feature) => ['--enable', feature]),
    ...['--use', `RELAXED=${relaxed ? 1 : 0}`, '--outFile', out],
  ]);
  const bytes = readFileSync(out);
  rmSync(folder, { recursive: true });
  return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null;
}

/** Repetitions a second, the best of 25 rounds: others on the machine only slow it down. */
function rate(work, seconds) {
  work();
  let best = 0;
  for (let round = 0; round < 25; round++) {
    let runs = 0;
    const begun = performance.now();
    while (performance.now() - begun < (seconds * 1000) / 25) {
      work();
      runs++;
    }
    best = Math.max(best, (runs * 1000) / (performance.now() - begun));
  }
  return best;
}

/** A network of one hidden layer in memory, with random trits and a random batch. */
export async function place(module, [batch, inputs, units]) {
  const network = networkOf([inputs, units, 10], { centred: true, gain: 25, logitScale: 10 });
  const plan = planMemory(network, { batch }, 1, await encodersOf(network), null);
  const memory = new WebAssembly.Memory({
    ...{ initial: Math.ceil((plan.end + READ_BYTES) / 65_536) + 1, maximum: 65_536, shared: true },
  });
  const kernels = new WebAssembly.Instance(module, { env: { memory, abort() {} } }).exports;
  const words = new Int32Array(memory.buffer);
  for (const [address, contents] of plan.contents) words.set(contents, address / 4);
  words[plan.control / 4 + CONTROL.indexOf('rows')] = batch;
  let state = 1;
  const noise = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 16;
  const { values, stride, outputStride } = plan.tensors[0];
  const trits = new Int8Array(memory.buffer, values, units * stride);
  trits.forEach((_, i) => (trits[i] = i % stride < inputs ? (noise() % 3) - 1 : 0));
  const bytes = new Uint8Array(memory.buffer, plan.inputs, batch * stride);
  bytes.forEach((_, i) => (bytes[i] = i % stride < inputs ? noise() & 127 : 0));
  kernels.attach(plan.control, 0);
  for (let tile = 0; tile * kernels.CODE_ROWS.value < units; tile++) kernels.encodeTile(tile);
  const free = Math.ceil(plan.end / 64) * 64; // what is read there is of no use to the products
  const sums = new Int32Array(memory.buffer, free, TILE * outputStride);
  const over = (kernel) => () => {
    for (let first = 0; first < batch; first += TILE) kernel(0, plan.inputs + first * stride, free);
  };
  return { kernels, sums, tables: over(kernels.tables), dots: over(kernels.dots), free };
}

/** The rates of both kernels and the ceilings, as the head of this file says. */
async function measure({ shapes, seconds }) {
  const result = { node: process.versions.node, products: [], ceilings: {} };
  for (const relaxed of [true, false]) {
    const module = compile(relaxed);
    if (!module) continue;
    for (const shape of shapes) {
      const { sums, tables, dots } = await place(module, shape);
      tables();
      const one = sums.slice();
      dots();
      if (one.some((sum, i) => sum !== sums[i])) throw new Error('the kernels disagree');
      const operations = 2 * shape[0] * shape[1] * shape[2];
      result.products.push({
        shape,
        relaxed,
        tables: operations * rate(tables, seconds),
        dots: operations * rate(dots, seconds),
      });
    }
    const { kernels, free } = await place(module, shapes[0]);
    const rounds = 20_000;
    const perRound = 6 * (relaxed ? 16 : 8) * 2;
    result.ceilings[relaxed ? 'relaxedMultiplyAdd' : 'multiplyAdd'] =
      perRound * rounds * rate(() => kernels.multiplyAdd(rounds, free), seconds);
    if (relaxed) continue;
    // 8 i16 lanes of three inputs each, multiplied and added as if one by one.
    result.ceilings.loadAdd =
      (16_384 / 16) * 8 * 3 * 2 * 100 * rate(() => kernels.loadAdd(100, free), seconds);
    result.ceilings.readBytes = READ_BYTES * rate(() => kernels.read(free, READ_BYTES), seconds);
  }
  return result;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]))));
