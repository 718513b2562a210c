// Runs a share of the inputs in a process of its own, so that one that never ends, or ends the process, is known
// by the number that stands in its file. What it finds goes to the parent as messages.

import { openSync, writeSync } from 'node:fs';
import { Failure, workMs } from './checks.mjs';
import { checkSamples, close, makeInput } from './entries.mjs';

const { seed, first, last, every, deadline, place } = JSON.parse(process.argv[2]);

// Traces take longer than most inputs; a single one has them.
if (last - first > 1) Error.stackTraceLimit = 0;

/** An input may not take more of the processor's time, beside what the work of a log's steps takes. */
const CPU_MS_MAX = 2000;
/** After so many inputs all code is compiled and the heap is as large as it needs to be. */
const WARM = 10_000;
/** Above that, none may make the process larger by more than this. */
const MEMORY_MAX = 64 * 2 ** 20;
const REPORT_MS = 5000;

const file = openSync(place, 'w');
const word = new DataView(new ArrayBuffer(8));
const counts = {}; // by entry point, kind and outcome
const slowest = {}; // by entry point
let warmBytes = null;

/** Runs one input within its bounds. */
async function run(index) {
  word.setFloat64(0, index);
  writeSync(file, word, 0, 8, 0);
  const { entry, kind, bytes, check } = makeInput(seed, index);
  const begun = performance.now();
  let outcome;
  try {
    outcome = await check();
  } catch (error) {
    const message =
      error instanceof Failure ? error.message : `not an error of ours: ${error?.stack ?? error}`;
    throw new Failure(message, { cause: bytes });
  }
  let ms = performance.now() - begun;
  if (ms > CPU_MS_MAX) ms = await cpuMsOf(index); // it may have waited for the processor
  const outcomes = ((counts[entry] ??= {})[kind] ??= {});
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  if (ms > (slowest[entry]?.ms ?? 0)) slowest[entry] = { ms, index };
  if (warmBytes === null) return;
  const grown = peak() - warmBytes;
  if (grown > MEMORY_MAX) throw new Failure(`memory grew by ${grown} bytes`, { cause: bytes });
}

/** The processor's time for one input, made again. */
async function cpuMsOf(index) {
  const { bytes, check } = makeInput(seed, index);
  const start = process.cpuUsage();
  await check();
  const { user, system } = process.cpuUsage(start);
  const ms = (user + system) / 1000;
  const most = CPU_MS_MAX + workMs(bytes);
  if (ms > most) throw new Failure(`it took ${ms} ms of the processor, not ${most}`, { cause: bytes });
  return ms;
}

const peak = () => process.resourceUsage().maxRSS * 1024;

await checkSamples();
let index = first;
let done = 0;
let told = performance.now();
let failure = null;
for (; index < last && Date.now() < deadline; index += every) {
  try {
    await run(index);
  } catch (error) {
    const { message, cause } = error;
    failure = { index, message, bytes: cause ? Buffer.from(cause).toString('base64') : null };
    break;
  }
  done += 1;
  if (done === WARM) warmBytes = peak();
  if (done % 64 === 0 && performance.now() - told > REPORT_MS) {
    told = performance.now();
    process.send({ done });
  }
}
const memory = { warmBytes, peakBytes: peak() };
process.send({ done, failure, counts, slowest, memory, ended: true }, () => process.disconnect());
await close();
