// Feeds mutated files to every reader by every way in: artifacts of all kinds and both versions, whole and in
// ranges from memory, Blobs, files and URLs; unfinished runs of both trainers; safetensors, IDX data, gzip,
// settings. What is refused must be refused with an error of ours that names the place; what is accepted must
// be what its own hash says, and the same by every way; nothing may take long or much memory, or end the process.
//
//   node scripts/fuzz.mjs [--inputs 100000] [--seconds S] [--seed 1] [--workers 1] [--only INDEX] [--json] [--report]
//
// An input depends on the seed and its index alone, so a failure is repeated with --only. --report adds to
// bench/results/fuzz.md and .json.

import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { add, writeFuzzReport } from './fuzz/report.mjs';

const { values: options } = parseArgs({
  options: {
    inputs: { type: 'string', default: '100000' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '1' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
});

/** A process that is silent for so long hangs: on a busy machine an input may wait for its turn. */
const SILENT_MS = 120_000;

const seed = Number(options.seed);
const one = options.only === undefined ? null : Number(options.only);
const [start, last] = one === null ? [0, Number(options.inputs)] : [one, one + 1];
const workers = one === null ? Number(options.workers) : 1;
const deadline = options.seconds === undefined ? 8.64e15 : Date.now() + 1000 * Number(options.seconds);
const folder = mkdtempSync(join(tmpdir(), 'ternseed-fuzz-places-'));
const script = fileURLToPath(new URL('fuzz/worker.mjs', import.meta.url));

const children = [];

/** The first failure ends the run. */
function fail({ index, message, bytes }) {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
  if (bytes) writeFileSync(`fuzz-${seed}-${index}.bin`, Buffer.from(bytes, 'base64'));
  process.stderr.write(
    `input ${index} of seed ${seed}: ${message}\n` +
      `repeat with: node scripts/fuzz.mjs --seed ${seed} --only ${index}\n`,
  );
  process.exit(1);
}

/** Runs every `workers`th input in a process; resolves with what it found. */
function startWorker(first) {
  const place = join(folder, String(first));
  const share = { seed, first, last, every: workers, deadline, place };
  const child = fork(script, [JSON.stringify(share)]);
  children.push(child);
  return new Promise((resolve) => {
    let result = null;
    const died = (message) => {
      const bytes = readFileSync(place);
      const index = bytes.length === 8 ? bytes.readDoubleBE(0) : null;
      fail({ index, message, bytes: null });
    };
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        died(`it hangs: silent for ${SILENT_MS / 1000} s`);
      }, SILENT_MS);
    };
    watch();
    child.on('message', (message) => {
      watch();
      if (message.failure) fail(message.failure);
      if (message.ended) result = message;
      progress.set(first, message.done);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (result) resolve(result);
      else died(`it ended the process: ${signal ?? `code ${code}`}`);
    });
  });
}

const progress = new Map();
const begun = performance.now();
const secondsSoFar = () => (performance.now() - begun) / 1000;
const ticker = setInterval(() => {
  const done = [...progress.values()].reduce((sum, each) => sum + each, 0);
  process.stderr.write(`${done} inputs, ${Math.round(done / secondsSoFar())}/s\n`);
}, 60_000);
const results = await Promise.all(Array.from({ length: workers }, (_, i) => startWorker(start + i)));
clearInterval(ticker);
rmSync(folder, { recursive: true });

const seconds = secondsSoFar();
const inputs = results.reduce((sum, { done }) => sum + done, 0);
const slowest = {};
for (const result of results) {
  for (const [entry, { ms, index }] of Object.entries(result.slowest)) {
    if (ms > (slowest[entry]?.ms ?? 0)) slowest[entry] = { ms, index };
  }
}
const grown = results.flatMap(({ memory: { warmBytes, peakBytes } }) =>
  warmBytes === null ? [] : peakBytes - warmBytes,
);
const summary = {
  ...{ seed, inputs, workers, seconds, perSecond: Math.round(inputs / seconds) },
  memoryGrownBytes: grown.length > 0 ? Math.max(...grown) : null,
  peakBytes: Math.max(...results.map(({ memory }) => memory.peakBytes)),
  slowest,
  counts: results.reduce((sum, { counts }) => add(sum, counts), {}),
};
process.stdout.write(`${JSON.stringify(summary, null, options.json ? 0 : 2)}\n`);
if (options.report) writeFuzzReport(summary);
