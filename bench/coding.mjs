// npm run bench:coding: bytes of real artifacts beside those that general compressors need for the same numbers,
// each given its best plain form, and how fast each coding is read. Trains the presets first, some minutes on two
// cores; `-- --from DIR` takes default.tern, small.tern, paper.tern and ste.tern from a folder instead.
// xz and zstd are Debian's command lines (xz-utils, zstd); brotli and deflate are Node's.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { brotliCompressSync, constants, deflateRawSync } from 'node:zlib';
import { encodePacked } from '../dist/src/artifact/artifact.js';
import { ByteReader } from '../dist/src/artifact/bytes.js';
import { decoderOf } from '../dist/src/artifact/container.js';
import { decodeByDefinition } from '../dist/src/artifact/interleaved-coder.js';
import { openInterleavedKernel } from '../dist/src/artifact/kernels/interleaved.js';
import { decodeByDefinition as decodeNeighbours } from '../dist/src/artifact/neighbour-coder.js';
import {
  decodePlainByDefinition,
  decodeTensor,
  encodeTensorAs,
  TensorCoding,
} from '../dist/src/artifact/tensor-coder.js';
import { openArtifact, ReferenceBackend, rebuildVerified } from '../dist/src/index.js';
import { philox } from '../dist/src/random/philox.js';
import { circumstances, markdownTable, share, ternseed, whole, writeReport } from './report.mjs';

const { values: options } = parseArgs({ options: { from: { type: 'string' } } });
const TRAINED = { default: [], small: [], paper: [], ste: ['--method', 'ste'] };

/** Plain forms: as many values a byte as there is room for, whole bits a value, a byte a value. */
const FORMS = {
  'by radix': (stream) => byRadix(stream),
  'by bits': (stream) => byBits(stream),
  'a byte each': ({ values, least }) => Uint8Array.from(values, (value) => value - least),
};

const where = circumstances();
const compressors = openCompressors();
const artifacts = [];
for (const { name, bytes } of await files()) artifacts.push(measure(name, bytes));
const reading = readingSpeeds();
const results = { ...where, versions: compressors.versions, artifacts, reading };
writeReport('coding', results, page(results));

/** The artifacts, and those of seeds as packed weights, too. */
async function files() {
  const folder = options.from ?? mkdtempSync(join(tmpdir(), 'ternseed-bench-'));
  const list = [];
  for (const [name, args] of Object.entries(TRAINED)) {
    const path = join(folder, `${name}.tern`);
    if (options.from === undefined) {
      const preset = name === 'ste' ? [] : ['--preset', name];
      ternseed('train', 'mnist', ...args, ...preset, '--seed', '1', '--out', path);
    }
    const bytes = new Uint8Array(readFileSync(path));
    const artifact = openArtifact(bytes);
    if (artifact.version !== 2) throw new Error(`${path}: expected version 2, got ${artifact.version}`);
    list.push({ name: name === 'ste' ? '--method ste' : name, bytes });
    if (artifact.kind === 'packed') continue;
    const weights = await rebuildVerified(artifact, new ReferenceBackend());
    list.push({
      name: `${name}, exported to packed`,
      bytes: encodePacked(artifact.header, weights, artifact),
    });
  }
  if (options.from === undefined) rmSync(folder, { recursive: true });
  return list;
}

/** An artifact's bytes beside those of others for the same numbers. */
function measure(name, bytes) {
  const artifact = openArtifact(bytes);
  const { kind, sections } = artifact;
  const streams = streamsOf(artifact);
  const body = sections.slice(1, -1).reduce((sum, one) => sum + one.bytes, 0);
  const entropy = streams.reduce((sum, { values }) => sum + entropyBytes(values), 0);
  const plain = Object.fromEntries(
    Object.entries(FORMS).map(([form, pack]) => [form, Buffer.concat(streams.map((one) => pack(one)))]),
  );
  const others = Object.fromEntries(
    Object.entries(compressors.run).map(([compressor, compress]) => {
      const sizes = Object.entries(plain).map(([form, packed]) => [form, compress(packed).length]);
      const [form, size] = sizes.reduce((best, one) => (one[1] < best[1] ? one : best));
      return [compressor, { bytes: size, form, sizes: Object.fromEntries(sizes) }];
    }),
  );
  const numbers = streams.reduce((sum, { values }) => sum + values.length, 0);
  const best = Math.min(others.brotli.bytes, others.xz.bytes, others.zstd.bytes);
  const opened = timed(() => {
    const again = openArtifact(bytes);
    if (again.kind === 'log') for (const step of again.replaySteps()) void step;
  });
  process.stderr.write(`${name}: ${body} of ${bytes.length}, best of others ${best}\n`);
  return {
    ...{ name, kind, numbers, file: bytes.length, body, entropy, best, others },
    plain: Object.fromEntries(Object.entries(plain).map(([form, packed]) => [form, packed.length])),
    ...{
      underBest: 1 - body / best,
      fileUnderBest: 1 - bytes.length / best,
      overEntropy: body / entropy - 1,
    },
    openMilliseconds: opened,
  };
}

/** The numbers of an artifact, one stream for each kind of statistics, with their least and largest value. */
function streamsOf(artifact) {
  if (artifact.kind === 'packed') {
    return artifact.network.tensors.map(({ offset, rows, columns }) =>
      streamOf(artifact.weights.subarray(offset, offset + rows * columns)),
    );
  }
  if (artifact.kind === 'pool') {
    let first = 0;
    return artifact.header.directions.map((count) => {
      first += count;
      return streamOf(artifact.coefficients.subarray(first - count, first));
    });
  }
  const coefficients = [];
  const losses = [];
  let last = 0;
  for (const step of artifact.replaySteps()) {
    coefficients.push(...step.coefficients);
    losses.push(step.loss - last);
    last = step.loss;
  }
  return [streamOf(coefficients), { values: losses, least: -128, count: 256 }];
}

function streamOf(values) {
  const least = values.reduce((a, b) => Math.min(a, b), 0);
  return { values, least, count: values.reduce((a, b) => Math.max(a, b), 0) - least + 1 };
}

/** Trits: five a byte. */
function byRadix({ values, least, count }) {
  let together = 1;
  while (count ** (together + 1) <= 256) together++;
  const bytes = new Uint8Array(Math.ceil(values.length / together));
  for (let i = values.length - 1; i >= 0; i--) {
    const at = Math.floor(i / together);
    bytes[at] = bytes[at] * count + values[i] - least;
  }
  return bytes;
}

/** Trits: two bits each. */
function byBits({ values, least, count }) {
  const width = Math.ceil(Math.log2(count));
  const bytes = new Uint8Array(Math.ceil((values.length * width) / 8));
  for (let i = 0, at = 0; i < values.length; i++) {
    for (let bit = 0; bit < width; bit++, at++)
      bytes[at >> 3] |= (((values[i] - least) >> bit) & 1) << (at & 7);
  }
  return bytes;
}

function entropyBytes(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / values.length);
  return bits / 8;
}

function openCompressors() {
  const version = (command) => {
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`expected the command ${command}: apt-get install xz-utils zstd`);
    return stdout.split('\n')[0];
  };
  const pipe =
    (command, ...args) =>
    (input) =>
      execFileSync(command, args, { input, maxBuffer: 2 ** 28, stdio: ['pipe', 'pipe', 'ignore'] });
  return {
    versions: { xz: version('xz'), zstd: version('zstd'), node: process.versions.node },
    run: {
      deflate: (input) => deflateRawSync(input, { level: 9, memLevel: 9 }),
      brotli: (input) =>
        brotliCompressSync(input, {
          params: {
            [constants.BROTLI_PARAM_QUALITY]: 11,
            [constants.BROTLI_PARAM_LGWIN]: 24,
            [constants.BROTLI_PARAM_SIZE_HINT]: input.length,
          },
        }),
      // Without the container, whose sixty bytes a small artifact would feel.
      xz: pipe('xz', '-9e', '--format=raw', '-c'),
      zstd: pipe('zstd', '-19', '--ultra', '-22', '--no-check', '-c'),
    },
  };
}

/** Trits a second for each coding of packed trits, on one core. */
function readingSpeeds() {
  const rows = [];
  for (const zeros of [1 / 3, 0.5, 0.8, 0.95]) {
    const tensor = { name: 'trits', values: 'trit', rows: 2048, columns: 2048, offset: 0 };
    const trits = randomTrits(tensor.rows * tensor.columns, zeros);
    const ideal = entropyBytes(trits);
    const coded = encodeTensorAs(TensorCoding.interleaved, tensor, trits);
    const out = new Int8Array(trits.length);
    const read = () => decodeTensor(new ByteReader(coded, 'trits'), tensor, out);
    const speed = (work, count = trits.length) => count / (timed(work) / 1000);
    const interleaved = speed(read);
    if (Buffer.compare(Buffer.from(out), Buffer.from(trits)) !== 0) throw new Error('other trits were read');
    const small = { ...tensor, rows: 128 };
    const few = trits.subarray(0, small.rows * small.columns);
    const into = new Int8Array(few.length);
    const rangeCoded = (coding, byDefinition) => {
      const bytes = encodeTensorAs(coding, small, few);
      return {
        wasm: speed(() => decodeTensor(new ByteReader(bytes, 'trits'), small, into), few.length),
        definition: speed(() => {
          const reader = new ByteReader(bytes, 'trits', 1);
          const stride = coding === TensorCoding.neighbours ? reader.integer('stride') : 0;
          byDefinition(decoderOf(reader), stride);
        }, few.length),
      };
    };
    rows.push({
      zeros,
      overEntropy: coded.length / ideal - 1,
      interleaved: { wasm: interleaved, definition: speed(definitionOf(coded, tensor)) },
      plain: rangeCoded(TensorCoding.plain, (decoder) => decodePlainByDefinition(decoder, small, into)),
      neighbours: rangeCoded(TensorCoding.neighbours, (decoder, stride) =>
        decodeNeighbours(decoder, into, small.columns, stride),
      ),
    });
  }
  if (openInterleavedKernel() === null) throw new Error('expected an engine with WebAssembly SIMD');
  return rows;
}

/** Reads the same bytes by the definition in JavaScript. */
function definitionOf(coded, { rows, columns }) {
  const reader = new ByteReader(coded, 'trits', 1);
  if (reader.u8('classes') !== 1) throw new Error('expected one class');
  const zero = Uint16Array.of(reader.integer('zero'));
  const positive = Uint16Array.of(reader.integer('positive'));
  const states = Uint32Array.from({ length: 16 }, () => reader.u32('state'));
  const words = reader.take(reader.left, 'words');
  const trits = new Int8Array(rows * columns);
  return () =>
    decodeByDefinition(words, states.slice(), { zero, positive, classes: new Uint8Array(columns) }, trits);
}

function randomTrits(count, zeros) {
  const words = new Uint32Array(4);
  return Int8Array.from({ length: count }, (_, i) => {
    if (i % 4 === 0) philox([3, 1], i / 4, 0, 0, 0, words);
    const draw = words[i % 4] / 2 ** 32;
    return draw < zeros ? 0 : draw < (1 + zeros) / 2 ? 1 : -1;
  });
}

/** Milliseconds of some work, the fastest of several times: what else the machine does is not the work's. */
function timed(work) {
  const samples = [];
  for (let i = 0; i < 15; i++) {
    const started = performance.now();
    work();
    samples.push(performance.now() - started);
  }
  return Math.min(...samples);
}

function page({ artifacts: rows, reading: speeds, versions, ...at }) {
  const percent = (value) => `${value > 0 ? '+' : ''}${(100 * value).toFixed(1)}%`;
  const other = ({ bytes, form }) => `${whole(bytes)} (${form})`;
  const million = (value) => (value / 1e6).toFixed(value < 1e8 ? 1 : 0);
  return [
    '# Coding',
    '',
    `${at.date}, commit ${at.commit}, ${at.processor}, ${at.cores} cores, Node ${at.node}; ${versions.xz}, ${versions.zstd}. Made by \`npm run bench:coding\`.`,
    '',
    '## Bytes for the same numbers',
    '',
    markdownTable(
      [
        'artifact',
        'kind',
        'numbers',
        'whole file',
        'ternseed',
        'order-0 entropy',
        'brotli',
        'xz',
        'zstd',
        'deflate',
        'by radix',
        'by bits',
        'to the entropy',
        'to the best of brotli, xz, zstd',
      ],
      rows.map(({ name, kind, numbers, file, body, entropy, others, plain, underBest, overEntropy }) => [
        ...[`**${name}**`, kind, whole(numbers), whole(file), `**${whole(body)}**`, whole(entropy)],
        ...['brotli', 'xz', 'zstd', 'deflate'].map((one) => other(others[one])),
        ...[whole(plain['by radix']), whole(plain['by bits']), percent(overEntropy), percent(-underBest)],
      ]),
    ),
    '',
    'The trits of an export are the draw of a seed, moved by coefficients: without the seed they are as good as random, so no coder gets far below their order-0 entropy. What is to be small is the pool or the log itself.',
    '',
    'Seed 1. *ternseed* is the sections with the numbers, their types, lengths and checksums among them; *whole file* adds header and end, which the others do without. The order-0 entropy is taken of each tensor by itself, with its statistics for nothing. Each compressor is given the numbers as many a byte as there is room for (trits: five), with whole bits each (trits: two), and a byte each, and its smallest result counts; xz without its container. Settings: brotli -q 11, xz -9e, zstd -19 --ultra -22, deflate 9. Numbers of a log are coefficients and losses.',
    '',
    '## Opening',
    '',
    markdownTable(
      ['artifact', 'numbers', 'milliseconds'],
      rows.map(({ name, numbers, openMilliseconds }) => [name, whole(numbers), openMilliseconds.toFixed(0)]),
    ),
    '',
    'Fastest of fifteen; a log with all its steps decoded.',
    '',
    '## Reading packed trits, millions a second on one core',
    '',
    markdownTable(
      [
        'zeros',
        ...['interleaved', 'plain', 'by neighbours'].flatMap((coding) => [
          `${coding}, wasm`,
          'in JavaScript',
        ]),
        'interleaved to the entropy',
      ],
      speeds.map(({ zeros, interleaved, plain, neighbours, overEntropy }) => [
        share(zeros),
        ...[interleaved, plain, neighbours].flatMap(({ wasm, definition }) =>
          [wasm, definition].map(million),
        ),
        `+${(100 * overEntropy).toFixed(3)}%`,
      ]),
    ),
    '',
    'Independent trits, 2,048 × 2,048 (plain and by neighbours 128 × 2,048), the whole call: tables, copies and checks among it; fastest of fifteen. Tensors of 2²⁰ trits or more are interleaved; smaller ones are coded by neighbours or plainly, whichever is shorter.',
  ].join('\n');
}
