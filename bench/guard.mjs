// npm run bench:guard: a few ratios that tell whether something has become slower, in seconds: our kernels against a
// loop that does nothing but multiply and add, in turns, in the same process. Ratios and not times, since machines
// differ; the best of many short rounds, since others use them too.
//
//   node bench/guard.mjs            measures, compares with bench/results/guard.json, ends with 1 on a loss of over 25%
//   node bench/guard.mjs --write    makes what it measures the result to compare with, for this processor

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openArtifact } from '../dist/src/artifact/artifact.js';
import { rebuild } from '../dist/src/artifact/rebuild.js';
import { openWasm } from '../dist/src/backend/wasm/wasm.js';
import { PRESETS } from '../dist/src/perturb/presets.js';
import { NoiseStepTrainer } from '../dist/src/perturb/trainer.js';
import { poolFile } from './gpu/training.mjs';
import { circumstances, root } from './report.mjs';
import { compile, place } from './speed/product.mjs';

/** What may be lost before it counts. */
const LOSS_MAX = 0.25;
/** A processor that no result is known of is held against the lowest of the known ones, and may lose more. */
const LOSS_MAX_UNKNOWN = 0.5;
const ATTEMPTS = 3;
const ROUNDS = 24;

const { values: options } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const file = join(root, 'bench/results/guard.json');
const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
const processor = processorName();

/** The processor's name, and on Linux its family and model, since clouds call several generations by one name. */
function processorName() {
  const about = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const fields = ['cpu family', 'model'].map(
    (field) => about.match(new RegExp(`^${field}\\s*: (.*)$`, 'm'))?.[1],
  );
  return [cpus()[0].model, ...fields.filter((field) => field !== undefined)].join(' ');
}

/** Least milliseconds of each work, which take turns. */
async function least(works) {
  const times = works.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, work] of works.entries()) {
      const begun = performance.now();
      await work();
      times[i] = Math.min(times[i], performance.now() - begun);
    }
  }
  return times;
}

/** 512 random examples of 784 inputs, of which a fifth is not zero. */
function examples() {
  const noise = (i) => Math.imul(i + 1, 2654435761) >>> 24;
  const inputs = Uint8Array.from({ length: 512 * 784 }, (_, i) => (noise(i) < 51 ? noise(i + 7) >> 1 : 0));
  return {
    inputs,
    labels: Uint8Array.from({ length: 512 }, (_, i) => i % 10),
    count: 512,
    width: 784,
    image: { rows: 28, columns: 28, channels: 1, planar: false },
  };
}

/** Each ratio is how many loops of multiplications fit into the work, the other way round: larger is faster. */
async function measure() {
  const { kernels, tables, dots, free } = await place(compile(false), [256, 784, 256]);
  const loop = () => kernels.multiplyAdd(100_000, Math.ceil(free / 64) * 64);
  const backend = await openWasm({ threads: 1 });
  const trainer = async (preset, changes) => {
    const made = await NoiseStepTrainer.create(
      { ...PRESETS[preset], batch: 256, ...changes },
      examples(),
      backend,
    );
    for (let i = 0; i < 3; i++) await made.next();
    return () => made.next();
  };
  const pool = openArtifact(poolFile('784-256-128-10', [49_152, 8192, 320]));
  const works = {
    'product by tables': tables,
    'product by dot products': dots,
    'nodes step': await trainer('default', { probes: 4 }),
    'weights step': await trainer('paper', { directions: 16 }),
    'replay of a pool': () => rebuild(pool, backend),
  };
  for (const work of Object.values(works)) await work();
  const [base, ...times] = await least([loop, ...Object.values(works)]);
  await backend.close();
  return Object.fromEntries(Object.keys(works).map((name, i) => [name, base / times[i]]));
}

const mine = known[processor]?.ratios;
const lowest = Object.values(known).map(({ ratios }) => ratios);
const limitOf = (name) => {
  if (mine?.[name] !== undefined) return mine[name] * (1 - LOSS_MAX);
  const of = lowest.map((ratios) => ratios[name]).filter((ratio) => ratio !== undefined);
  return of.length > 0 ? Math.min(...of) * (1 - LOSS_MAX_UNKNOWN) : 0;
};
let found = {};
for (
  let attempt = 0;
  attempt < (options.write ? ATTEMPTS : 1) || (attempt < ATTEMPTS && slow().length > 0);
  attempt++
) {
  const ratios = await measure();
  // What to compare with is the lowest that was seen, and what is compared the highest: noise is not a loss.
  const pick = options.write ? Math.min : Math.max;
  found = Object.fromEntries(
    Object.entries(ratios).map(([name, ratio]) => [name, pick(ratio, found[name] ?? ratio)]),
  );
}
function slow() {
  return Object.entries(found).filter(([name, ratio]) => ratio < limitOf(name));
}
for (const [name, ratio] of Object.entries(found)) {
  const limit = limitOf(name);
  const was = mine ? `, was ${mine[name]?.toFixed(3)}` : ' (no result of this processor)';
  console.log(
    `${name}: ${ratio.toFixed(3)}${was}, at least ${limit.toFixed(3)}${ratio < limit ? ': SLOWER' : ''}`,
  );
}
if (options.write) {
  const { date, commit, node } = circumstances();
  known[processor] = { date, commit, node, ratios: found };
  writeFileSync(file, `${JSON.stringify(known, null, 2)}\n`);
} else if (slow().length > 0) {
  process.exitCode = 1;
}
