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
import { CONTROL, layerWords, planMemory } from '../../dist/src/backend/wasm/memory-plan.js';
import { networkOf } from '../../dist/src/ternary/network.js';
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
export function place(module, [batch, inputs, units]) {
  const network = networkOf([inputs, units, 10], { centred: true, gain: 25, logitScale: 10 });
  const plan = planMemory(network, { batch }, 1);
  const memory = new WebAssembly.Memory({
    ...{ initial: Math.ceil((plan.end + READ_BYTES) / 65_536) + 1, maximum: 65_536, shared: true },
  });
  const kernels = new WebAssembly.Instance(module, { env: { memory, abort() {} } }).exports;
  const words = new Int32Array(memory.buffer);
  words.set(plan.layers.flatMap(layerWords), plan.layer / 4);
  words.set(plan.scratchOffsets, plan.scratch / 4);
  const control = {
    layers: 2,
    layer: plan.layer,
    scratch: plan.scratch,
    scratchStride: plan.scratchStride,
    batch,
  };
  for (const [field, value] of Object.entries(control))
    words[plan.control / 4 + CONTROL.indexOf(field)] = value;
  let state = 1;
  const noise = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 16;
  const { weights, inputStride } = plan.layers[0];
  const trits = new Int8Array(memory.buffer, weights, units * inputStride);
  trits.forEach((_, i) => (trits[i] = i % inputStride < inputs ? (noise() % 3) - 1 : 0));
  const bytes = new Uint8Array(memory.buffer, plan.inputs, batch * inputStride);
  bytes.forEach((_, i) => (bytes[i] = i % inputStride < inputs ? noise() & 127 : 0));
  kernels.attach(plan.control, 0);
  for (let tile = 0; tile * kernels.CODE_ROWS.value < units; tile++) kernels.encodeTile(tile);
  const z = plan.scratch + plan.layers[0].sums;
  const sums = new Int32Array(memory.buffer, z, TILE * plan.layers[0].outputStride);
  const over = (kernel) => () => {
    for (let first = 0; first < batch; first += TILE) kernel(0, plan.inputs + first * inputStride, z);
  };
  return { kernels, sums, tables: over(kernels.tables), dots: over(kernels.dots), free: plan.end };
}

/** The rates of both kernels and the ceilings, as the head of this file says. */
function measure({ shapes, seconds }) {
  const result = { node: process.versions.node, products: [], ceilings: {} };
  for (const relaxed of [true, false]) {
    const module = compile(relaxed);
    if (!module) continue;
    for (const shape of shapes) {
      const { sums, tables, dots } = place(module, shape);
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
    const { kernels, free } = place(module, shapes[0]);
    const at = Math.ceil(free / 64) * 64;
    const rounds = 20_000;
    const perRound = 6 * (relaxed ? 16 : 8) * 2;
    result.ceilings[relaxed ? 'relaxedMultiplyAdd' : 'multiplyAdd'] =
      perRound * rounds * rate(() => kernels.multiplyAdd(rounds, at), seconds);
    if (relaxed) continue;
    // 8 i16 lanes of three inputs each, multiplied and added as if one by one.
    result.ceilings.loadAdd = (16_384 / 16) * 8 * 3 * 2 * 100 * rate(() => kernels.loadAdd(100, at), seconds);
    result.ceilings.readBytes = READ_BYTES * rate(() => kernels.read(at, READ_BYTES), seconds);
  }
  return result;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(JSON.stringify(measure(JSON.parse(process.argv[2]))));
