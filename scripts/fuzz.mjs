// Feeds mutated files to every reader: artifacts of all kinds and both versions, unfinished runs of both
// trainers, IDX data, gzip, settings. What is refused must be refused with an error of ours that names the
// place; what is accepted must be what its own hash says; nothing may take long or much memory.
//
//   node scripts/fuzz.mjs [--inputs 100000] [--seconds S] [--seed 1] [--only INDEX] [--json]
//
// An input depends on the seed and its index alone, so a failure is repeated with --only.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, TextEncoder } from 'node:util';
import { gzipSync } from 'node:zlib';
import { openArtifact } from '../dist/src/artifact/artifact.js';
import {
  encodeArrays,
  encodeCheckpoint,
  headerOfUnfinished,
  readArrays,
  readCheckpoint,
  readUnfinishedLog,
} from '../dist/src/artifact/checkpoint.js';
import { encodeSection, readWholeSections } from '../dist/src/artifact/container.js';
import { valuesMax } from '../dist/src/artifact/expansion.js';
import { rebuildRows, rebuildTensor, rebuildVerified } from '../dist/src/artifact/rebuild.js';
import { packWeights } from '../dist/src/artifact/weights-hash.js';
import { ReferenceBackend } from '../dist/src/backend/reference/reference.js';
import { openWasm } from '../dist/src/backend/wasm/wasm.js';
import { checkSteConfig } from '../dist/src/backprop/config.js';
import { STE_PRESETS } from '../dist/src/backprop/presets.js';
import { gunzipBounded, parseIdx } from '../dist/src/data/idx.js';
import { ArtifactError, ConfigError, InputError } from '../dist/src/errors.js';
import { checkConfig } from '../dist/src/perturb/config.js';
import { PRESETS } from '../dist/src/perturb/presets.js';

// Traces take longer than most inputs; --only has them.
if (!process.argv.includes('--only')) Error.stackTraceLimit = 0;

const vectors = join(dirname(dirname(fileURLToPath(import.meta.url))), 'test', 'vectors');

const { values: options } = parseArgs({
  options: {
    inputs: { type: 'string', default: '100000' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

/** An input may not take more of the processor's time. */
const CPU_SECONDS_MAX = 2;
/** Beside what accepted files declare, all inputs together may not take more memory than this above the start. */
const MEMORY_MAX = 64 * 2 ** 20;
/** Rebuilding is tried where it is no more than this many weights and moves of weights; the others are opened only. */
const REBUILD_WEIGHTS_MAX = 4096;
const REBUILD_MOVES_MAX = 65_536;
/** Of the files that verify, one in so many is rebuilt on each backend, too. */
const BACKEND_SHARE = 64;
const WASM_SHARE = 128;

/** A generator of one input's choices: xorshift over a mixed seed. */
class Choices {
  #state;
  constructor(seed, index) {
    let mixed = Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca77);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
    this.#state = mixed ^ (mixed >>> 13) || 1;
  }
  word() {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
  /** 0…below − 1. */
  to(below) {
    return this.word() % below;
  }
  of(list) {
    return list[this.to(list.length)];
  }
}

const INTEGERS = [
  0,
  1,
  2,
  3,
  7,
  8,
  127,
  128,
  255,
  256,
  4096,
  65_535,
  65_536,
  2 ** 20,
  2 ** 21,
  2 ** 22,
  2 ** 24,
];
const LARGE = [
  2 ** 26,
  2 ** 27,
  2 ** 28,
  2 ** 28 + 1,
  10_000_000,
  10_000_001,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

const concat = (...parts) => new Uint8Array(Buffer.concat(parts));
const text = (string) => new TextEncoder().encode(string);

function leb128(value) {
  const bytes = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Uint8Array.of(...bytes, left);
}

/** JSON as a header's payload, deflated without compression, which is fast. */
function headerPayload(json) {
  const { length } = json;
  const block = Uint8Array.of(1, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255);
  return concat(leb128(length), block, json);
}

// Corpus

/** A file that is right, and what is known of it. */
function sample(name, bytes, reader) {
  const { sections } = readWholeSections(bytes);
  const parts = sections.map(({ type, start, end }) => ({ type, payload: bytes.slice(start, end) }));
  const { header } = {
    artifact: openArtifact,
    log: readUnfinishedLog,
    checkpoint: readCheckpoint,
    arrays: readArrays,
  }[reader](bytes);
  return { name, bytes, reader, parts, header, version: bytes[4] };
}

function loadCorpus() {
  const samples = [];
  for (const version of ['v1', 'v2']) {
    for (const file of readdirSync(join(vectors, version)).filter((one) => one.endsWith('.tern'))) {
      const bytes = new Uint8Array(readFileSync(join(vectors, version, file)));
      samples.push(sample(`${version}/${file}`, bytes, file.startsWith('unfinished') ? 'log' : 'artifact'));
    }
  }
  const pool = samples.find(({ name }) => name === 'v2/pool-cut1.tern').header;
  const size = pool.directions.reduce((sum, one) => sum + one, 0);
  const reals = () => Float64Array.from({ length: size }, (_, i) => Math.sin(i));
  const arrays = { values: reals(), mean: reals(), square: reals(), updates: new Uint32Array(size).fill(7) };
  samples.push(sample('checkpoint', encodeCheckpoint(pool, 7, arrays), 'checkpoint'));
  const shadow = [49, 40].map((length) => Float32Array.from({ length }, (_, i) => Math.cos(i)));
  samples.push(sample('arrays', encodeArrays(pool, 7, shadow), 'arrays'));
  return samples;
}

const samples = loadCorpus();
const pieces = samples.flatMap(({ parts }) => parts);
const images = concat(
  Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 6),
  new Uint8Array(180).fill(9),
);
const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 3, 1);
const gzips = [images, labels].map((bytes) => new Uint8Array(gzipSync(bytes)));
const settings = [
  ...Object.values(PRESETS).map((preset) => ({ preset, check: checkConfig })),
  ...Object.values(STE_PRESETS).map((preset) => ({ preset, check: checkSteConfig })),
];

// Mutations

/** One to four changes of bytes. `kept` tells whether only damage was done: nothing added from right files. */
function mutateBytes(choices, bytes) {
  let out = bytes.slice();
  let damage = true;
  for (let left = 1 + choices.to(4); left > 0; left--) {
    const at = choices.to(out.length + 1);
    switch (choices.to(9)) {
      case 0:
      case 1:
        if (at < out.length) out[at] ^= 1 << choices.to(8);
        break;
      case 2:
        if (at < out.length) out[at] = choices.of([0, 1, 127, 128, 255, choices.to(256)]);
        break;
      case 3:
        out = out.slice(0, at);
        break;
      case 4:
        out = concat(out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + choices.to(8))));
        break;
      case 5:
        out = concat(out.subarray(0, at), leb128(choices.of([...INTEGERS, ...LARGE])), out.subarray(at));
        break;
      case 6: {
        const end = Math.min(out.length, at + 1 + choices.to(64));
        out = concat(out.subarray(0, end), out.subarray(at));
        damage = false;
        break;
      }
      case 7: {
        const other = choices.of(samples).bytes;
        out = concat(out.subarray(0, at), other.subarray(choices.to(other.length)));
        damage = false;
        break;
      }
      default: {
        const words = Uint32Array.of(choices.of([0, choices.word(), 2 ** 32 - 1]));
        if (at + 4 <= out.length) out.set(new Uint8Array(words.buffer), at);
      }
    }
  }
  return { bytes: out, damage };
}

/** A value of JSON that is not what it was. */
function otherValue(choices, value, depth = 0) {
  if (depth < 3 && value !== null && typeof value === 'object' && choices.to(4) > 0) {
    const copy = Array.isArray(value) ? [...value] : { ...value };
    const key = choices.of([...Object.keys(copy), 'x']);
    if (choices.to(8) === 0) delete copy[key];
    else copy[key] = otherValue(choices, copy[key], depth + 1);
    return copy;
  }
  const number = () => choices.of([...INTEGERS, ...LARGE, -1, 0.5, 1e300, -0, choices.to(100)]);
  if (typeof value === 'number' && choices.to(4) > 0) return number();
  if (typeof value === 'string' && choices.to(4) > 0) {
    const width = () => choices.of([1, 2, 4, 10, 49, 64, 2048, 65_535, choices.to(100)]);
    const model = Array.from({ length: 1 + choices.to(5) }, width).join('-');
    return choices.of([
      model,
      model,
      '',
      'log',
      'pool',
      'packed',
      'checkpoint',
      'f'.repeat(16),
      '\u202e\u0007',
      `${value}0`,
    ]);
  }
  return choices.of([
    null,
    true,
    false,
    [],
    {},
    '',
    'x',
    [[1]],
    { a: { b: [] } },
    number(),
    [number(), number()],
  ]);
}

/** Sections that lie with right checksums. */
function mutateStructure(choices, { parts, header, version }) {
  let out = [...parts];
  for (let left = 1 + choices.to(3); left > 0; left--) {
    const at = choices.to(out.length);
    const one = out[at];
    switch (out.length === 0 ? 0 : choices.to(10)) {
      case 0:
        out.splice(at, 0, choices.of(pieces));
        break;
      case 1:
        out.splice(at, 1);
        break;
      case 2:
        out.splice(at, 0, one);
        break;
      case 3: {
        const other = choices.to(out.length);
        [out[at], out[other]] = [out[other], one];
        break;
      }
      case 4:
        out[at] = choices.of(pieces);
        break;
      case 5:
        out[at] = { ...one, type: choices.of([...text('HLCTES'), choices.to(256)]) };
        break;
      case 6: // integers at the start of a body
        out[at] = { ...one, payload: lyingIntegers(choices, one.payload) };
        break;
      case 7: {
        let lie = otherValue(choices, header);
        if (choices.to(3) === 0) lie = otherValue(choices, lie);
        out[0] = { type: 0x48, payload: headerPayload(text(JSON.stringify(lie))) };
        break;
      }
      default:
        out[at] = { ...one, payload: mutateBytes(choices, one.payload).bytes };
    }
  }
  const marks = choices.to(16) === 0 ? [choices.of([1, 2, 3, 0])] : [version];
  return concat(
    text('TERN'),
    Uint8Array.of(...marks),
    ...out.map(({ type, payload }) => encodeSection(type, payload)),
  );
}

function lyingIntegers(choices, payload) {
  const skip = choices.to(4);
  let at = 0;
  for (let i = 0; i < skip && at < payload.length; i++) at += integerBytes(payload, at);
  const lie = choices.of([...INTEGERS, ...LARGE, choices.to(64)]);
  return concat(payload.subarray(0, at), leb128(lie), payload.subarray(at + integerBytes(payload, at)));
}

function integerBytes(payload, at) {
  let length = 1;
  while (payload[at + length - 1] > 127) length++;
  return length;
}

// Checks

class Failure extends Error {}

const hashes = new Map(); // of right files, by name
const reference = new ReferenceBackend();
const wasm = await openWasm({ threads: 1 });
const outcomes = {};
const count = (what) => {
  outcomes[what] = (outcomes[what] ?? 0) + 1;
};
let declared = 0;

/** The result of a reader, or null where it refused as it should. */
function read(reader, bytes, refusal) {
  try {
    return reader(bytes);
  } catch (error) {
    refusal(error, bytes);
    return null;
  }
}

function artifactRefusal(error, bytes) {
  if (!(error instanceof ArtifactError)) throw new Failure(`not an ArtifactError: ${error?.stack ?? error}`);
  const place = /^[a-z -]+ at byte (\d+): /.exec(error.message);
  if (!place || Number(place[1]) > bytes.length)
    throw new Failure(`an ArtifactError without place: ${error.message}`);
}

function inputRefusal(error, bytes) {
  if (!(error instanceof InputError)) throw new Failure(`not an InputError: ${error?.stack ?? error}`);
  const place = /, at byte (\d+)$/.exec(error.message);
  const damaged = error.message.includes('expected an undamaged gzip file');
  if (!damaged && !(place && Number(place[1]) <= bytes.length)) {
    throw new Failure(`an InputError without place: ${error.message}`);
  }
}

function configRefusal(error) {
  if (!(error instanceof ConfigError)) throw new Failure(`not a ConfigError: ${error?.stack ?? error}`);
  if (!/^"\w+" expected /.test(error.message))
    throw new Failure(`a ConfigError without place: ${error.message}`);
}

const hashOf = (weights, tensors) => createHash('sha256').update(packWeights(weights, tensors)).digest('hex');

/** How much rebuilding an opened artifact is, in moves of weights. */
function movesOf({ kind, header, network, steps }) {
  if (kind !== 'log') return network.parameters;
  const directions = header.directions.reduce((sum, one) => sum + one, 0);
  return steps * (Math.min(network.parameters, directions * 16) + 1);
}

async function checkArtifact(choices, bytes) {
  const artifact = read(openArtifact, bytes, artifactRefusal);
  if (!artifact) return count('artifact refused');
  declared = Math.max(declared, Math.min(artifact.network.parameters, valuesMax(bytes.length)));
  const { network, kind } = artifact;
  if (network.parameters > REBUILD_WEIGHTS_MAX || movesOf(artifact) > REBUILD_MOVES_MAX) {
    return count('artifact opened, too large to rebuild here');
  }
  const weights = new Int8Array(network.parameters);
  try {
    for (const { name, offset } of network.tensors) weights.set(rebuildTensor(artifact, name), offset);
  } catch (error) {
    artifactRefusal(error, bytes);
    if (kind !== 'log') throw new Failure(`a ${kind} that opens does not rebuild: ${error.message}`);
    return count('artifact refused when rebuilt');
  }
  const right = hashOf(weights, network.tensors) === artifact.weightsHash;
  if (right && !hashes.has(artifact.weightsHash)) throw new Failure('other weights with their own hash');
  const tensor = choices.of(network.tensors);
  const from = choices.to(tensor.rows);
  const to = from + 1 + choices.to(tensor.rows - from);
  const part = weights.slice(tensor.offset + from * tensor.columns, tensor.offset + to * tensor.columns);
  if (
    Buffer.compare(Buffer.from(part), Buffer.from(rebuildRows(artifact, tensor.name, { from, to }))) !== 0
  ) {
    throw new Failure(`rows ${from}…${to - 1} of ${tensor.name} are not those of the whole`);
  }
  for (const [backend, share] of [
    [reference, BACKEND_SHARE],
    [wasm, WASM_SHARE],
  ]) {
    if (choices.to(share) !== 0) continue;
    const result = await rebuildVerified(artifact, backend).catch((error) => error);
    const same =
      result instanceof Int8Array && Buffer.compare(Buffer.from(result), Buffer.from(weights)) === 0;
    if (right && !same) throw new Failure(`${backend.name} rebuilds to something else: ${result}`);
    if (!right) {
      if (result instanceof Int8Array) throw new Failure(`${backend.name} verifies what has another hash`);
      artifactRefusal(result, bytes);
    }
    count(`artifact rebuilt on ${backend.name}`);
  }
  return count(right ? 'artifact accepted, its own weights' : 'artifact refused by its hash');
}

function checkUnfinished(bytes, origin, damage) {
  const header = read(headerOfUnfinished, bytes, artifactRefusal);
  const log = read(readUnfinishedLog, bytes, artifactRefusal);
  if (!log) return count('unfinished log refused');
  if (!header) throw new Failure('a log without a header');
  if (log.length > bytes.length) throw new Failure('a log longer than its file');
  if (damage && origin.reader === 'log') {
    const mine = readUnfinishedLog(origin.bytes).steps;
    log.steps.forEach((step, i) => {
      const other = mine[i];
      const same =
        other?.seedStep === step.seedStep &&
        other.nonzeros === step.nonzeros &&
        other.loss === step.loss &&
        Buffer.compare(Buffer.from(other.coefficients), Buffer.from(step.coefficients)) === 0;
      if (!same) throw new Failure(`a damaged log gives another step ${i + 1}`);
    });
  }
  if (readUnfinishedLog(bytes.subarray(0, log.length)).steps.length !== log.steps.length) {
    throw new Failure('the whole part of a log is not read alike');
  }
  return count('unfinished log read');
}

function checkCheckpoint(bytes) {
  const checkpoint = read(readCheckpoint, bytes, artifactRefusal);
  if (!checkpoint) return count('checkpoint refused');
  const size = checkpoint.header.directions.reduce((sum, one) => sum + one, 0);
  for (const array of Object.values(checkpoint.pool)) {
    if (array.length !== size) throw new Failure('a checkpoint with arrays of another length');
  }
  return count('checkpoint read');
}

function checkArrays(bytes) {
  const checkpoint = read(readArrays, bytes, artifactRefusal);
  if (!checkpoint) return count('arrays refused');
  const total = checkpoint.arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (total > bytes.length) throw new Failure('arrays of more bytes than the file has');
  return count('arrays read');
}

function checkIdx(bytes) {
  const parsed = read((one) => parseIdx(one, 'file'), bytes, inputRefusal);
  if (!parsed) return count('idx refused');
  if (parsed.shape.reduce((product, one) => product * one, 1) !== parsed.data.length) {
    throw new Failure('an IDX file whose data are not of its shape');
  }
  return count('idx read');
}

function checkGzip(bytes) {
  const unpacked = read((one) => gunzipBounded(one, 'file', 2 ** 20), bytes, inputRefusal);
  if (!unpacked) return count('gzip refused');
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const known = [images, labels].some((one) => Buffer.compare(Buffer.from(one), Buffer.from(unpacked)) === 0);
  if (isGzip && !known) throw new Failure('a damaged gzip file unpacks to something else');
  return count('gzip read');
}

/** Makes input `index` and gives it to a reader. */
async function run(seed, index) {
  const choices = new Choices(seed, index);
  switch (choices.to(16)) {
    case 0: {
      const raw = choices.of([images, labels]);
      return { bytes: mutateBytes(choices, raw).bytes, check: checkIdx };
    }
    case 1:
      return { bytes: mutateBytes(choices, choices.of(gzips)).bytes, check: checkGzip };
    case 2: {
      const { preset, check } = choices.of(settings);
      let config = otherValue(choices, { ...preset });
      if (typeof config !== 'object' || config === null) config = {};
      const lie = JSON.stringify(config);
      return {
        bytes: text(lie),
        check: () =>
          count(
            read(() => check(JSON.parse(lie)), null, configRefusal) ? 'settings taken' : 'settings refused',
          ),
      };
    }
    default: {
      const origin = choices.of(samples);
      const structured = choices.to(2) === 0;
      const { bytes, damage } = structured
        ? { bytes: mutateStructure(choices, origin), damage: false }
        : mutateBytes(choices, origin.bytes);
      const readers = {
        artifact: () => checkArtifact(choices, bytes),
        log: () => checkUnfinished(bytes, origin, damage),
        checkpoint: () => checkCheckpoint(bytes),
        arrays: () => checkArrays(bytes),
      };
      const reader = choices.to(8) === 0 ? choices.of(Object.keys(readers)) : origin.reader;
      return { bytes, check: readers[reader] };
    }
  }
}

/** Runs one input within its bounds; returns the milliseconds that it took. */
async function runChecked(seed, index) {
  const { bytes, check } = await run(seed, index);
  const begun = performance.now();
  try {
    await check(bytes);
  } catch (error) {
    const message = error instanceof Failure ? error.message : `the fuzzer failed: ${error.stack}`;
    throw new Failure(message, { cause: bytes });
  }
  const ms = performance.now() - begun;
  return ms > 1000 * CPU_SECONDS_MAX ? cpuMsOf(seed, index) : ms; // it may have waited for the processor
}

/** The processor's time for one input, made again. */
async function cpuMsOf(seed, index) {
  const { bytes, check } = await run(seed, index);
  const start = process.cpuUsage();
  await check(bytes);
  const { user, system } = process.cpuUsage(start);
  const ms = (user + system) / 1000;
  if (ms > 1000 * CPU_SECONDS_MAX) throw new Failure(`it took ${ms} ms`, { cause: bytes });
  return ms;
}

for (const { name, bytes, reader } of samples) {
  if (reader !== 'artifact') continue;
  const { weightsHash } = openArtifact(bytes);
  hashes.set(weightsHash, name);
  await checkArtifact(new Choices(1, 1), bytes);
}
if (Object.keys(outcomes).some((what) => what.includes('refused')))
  throw new Error('a right file was refused');
for (const key of Object.keys(outcomes)) delete outcomes[key];

const seed = Number(options.seed);
const last = options.only === undefined ? Number(options.inputs) : Number(options.only) + 1;
const first = options.only === undefined ? 0 : last - 1;
const deadline =
  options.seconds === undefined ? Infinity : performance.now() + 1000 * Number(options.seconds);
const WARM = 20_000;
let resident = 0;
let slowestMs = 0;
let slowest = 0;
const begun = performance.now();
let index = first;
for (; index < last && performance.now() < deadline; index++) {
  try {
    const ms = await runChecked(seed, index);
    if (ms > slowestMs) [slowestMs, slowest] = [ms, index];
    if (index - first === WARM) resident = process.resourceUsage().maxRSS * 1024;
    if (index % 1024 === 0 && index - first > WARM) {
      const grown = process.resourceUsage().maxRSS * 1024 - resident;
      if (grown > MEMORY_MAX + 2 * declared) throw new Failure(`memory grew by ${grown} bytes`);
      if (!options.json && index % (1024 * 256) === 0) {
        process.stderr.write(
          `${index} inputs, ${Math.round((index - first) / ((performance.now() - begun) / 1000))}/s\n`,
        );
      }
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.cause) writeFileSync(`fuzz-${seed}-${index}.bin`, error.cause);
    process.stderr.write(
      `input ${index} of seed ${seed}: ${error.message}\n` +
        `repeat with: node scripts/fuzz.mjs --seed ${seed} --only ${index}\n`,
    );
    process.exit(1);
  }
}
await wasm.close();
const seconds = (performance.now() - begun) / 1000;
const inputs = index - first;
const summary = {
  ...{ seed, inputs, seconds, perSecond: Math.round(inputs / seconds) },
  ...{ slowestMs, slowest, largestDeclared: declared },
  memoryGrownBytes: resident ? process.resourceUsage().maxRSS * 1024 - resident : null,
  outcomes: Object.fromEntries(Object.entries(outcomes).sort(([a], [b]) => a.localeCompare(b))),
};
process.stdout.write(`${JSON.stringify(summary, null, options.json ? 0 : 2)}\n`);
