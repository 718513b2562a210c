// npm run bench:lm: language models on the last tenth of a text they were not trained on, beside n-grams and
// compressors; bits a byte against the bytes of the artifact. Runs go through the command line, as users' do. Rows
// that bench/results/lm.json has are kept; `-- --rows "4 × 128,llama"` makes single ones anew, `--text FILE` takes
// another text than tinyshakespeare. The whole takes about an hour on two cores.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleForBrowsers } from '../scripts/browser.mjs';
import { againstBytes } from './chart.mjs';
import { compressed, gzip, wittenBell, xz } from './lm/baselines.mjs';
import { againstLlama } from './lm/llama.mjs';
import { BASE, ROWS, SERIES } from './lm/rows.mjs';
import { circumstances, markdownTable, root, ternseed, whole, writeReport } from './report.mjs';

const { values: options } = parseArgs({
  options: {
    text: { type: 'string', default: join(root, '../shared/data/tinyshakespeare.txt') },
    rows: { type: 'string', default: '' },
  },
});
const NGRAMS = [1, 2, 3, 4, 5];
/** Bytes from one sliding window to the next. */
const STRIDE = 16;
const PROMPT = 'ROMEO:\n';
/** What runs an artifact in a page, with all that it may load. */
const files = await bundleForBrowsers('ternseed-artifact.js');
const code = files.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
const bits = (value) => value.toFixed(3);
const nats = (value) => (value * Math.LN2).toFixed(3);
const path = join(root, 'bench/results/lm.json');
const known = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { baselines: [], rows: [] };
const asked = options.rows === '' ? [] : options.rows.split(',');
const folder = mkdtempSync(join(tmpdir(), 'ternseed-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const bytes = new Uint8Array(readFileSync(options.text));
const middle = Math.floor(0.9 * bytes.length);
const [train, text] = [bytes.subarray(0, middle), bytes.subarray(middle)];
const baselines = known.baselines.length > 0 ? known.baselines : measureBaselines();
let rows = known.rows;
let { llama } = known;
let results = report();
for (const row of ROWS) {
  const old = rows.find(({ name }) => name === row.name);
  if (asked.length > 0 ? !asked.includes(row.name) : old) continue;
  keep(measure(row));
}
if (asked.includes('llama') || (asked.length === 0 && !llama)) {
  llama = { ...circumstances(), ...(await againstLlama(options.text, text, folder)) };
  results = report();
}
writeReport('lm', results, page());
writeFileSync(join(root, 'bench/results/lm.svg'), chart());

/** Keeps a row in the order of all, and writes what there is: the whole takes long. */
function keep(made) {
  const all = [...rows.filter(({ name }) => name !== made.name), made];
  rows = ROWS.flatMap((row) => all.filter(({ name }) => name === row.name));
  results = report();
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
}

function report() {
  return { ...circumstances(), text: basename(options.text), code, baselines, rows, llama };
}

function measureBaselines() {
  const made = NGRAMS.map((order) => ({
    name: order === 1 ? 'unigram' : order === 2 ? 'bigram' : `${order}-gram`,
    bitsPerByte: wittenBell(train, text, order),
  }));
  for (const [name, compress] of [
    ['gzip -9', gzip],
    ['xz -9e', xz],
  ]) {
    const { after, alone } = compressed(compress, train, text);
    made.push({ name: `${name}, after the training part`, bitsPerByte: after });
    made.push({ name: `${name}, alone`, bitsPerByte: alone });
  }
  return made;
}

/** Trains a row's model and scores its artifact. */
function measure({ name, series, options: given, text: source = options.text, base, depth }) {
  const file = fileOf(name);
  if (base && !existsSync(fileOf(base))) keep(measure(ROWS.find((row) => row.name === base)));
  const on = base ? ['--base', fileOf(base)] : [];
  const trained = ternseed('train', 'text', '--text', source, '--out', file, ...given, ...on);
  const plain = ternseed('eval', file, '--data', options.text);
  const sliding = ternseed('eval', file, '--data', options.text, '--stride', String(STRIDE));
  const { date, commit, processor, cores } = circumstances();
  return {
    ...{
      name,
      series,
      depth,
      base,
      model: trained.model,
      parameters: trained.parameters,
      bytes: trained.bytes,
      bitsPerTrit: trained.bitsPerTrit,
    },
    ...{ bitsPerByte: plain.bitsPerByte, sliding: sliding.bitsPerByte, accuracy: plain.accuracy },
    apart:
      trained.trainerBitsPerByte === undefined
        ? null
        : Math.abs(trained.bitsPerByte - trained.trainerBitsPerByte),
    ...{ seconds: trained.seconds, steps: trained.steps, peakMemoryBytes: trained.peakMemoryBytes },
    ...{ sample: base ? undefined : sampleOf(file) },
    ...{ weightsHash: trained.weightsHash, date, commit, processor, cores },
  };
}

/** What a model writes. */
function sampleOf(file) {
  return ternseed('sample', file, ...['--prompt', PROMPT, '--length', '280', '--temperature', '0.7']).text;
}

/** Where a row's artifact lies while others need it. */
function fileOf(name) {
  return join(folder, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}.tern`);
}

function page() {
  const models = rows.filter(({ base }) => !base);
  return [
    '# Language models',
    '',
    `\`npm run bench:lm\`: ${results.text}, ${whole(bytes.length)} bytes, the last ${whole(text.length)} of which are predicted. ` +
      `Bits a byte of the artifact as rebuilt from its bytes, in windows of its context one after another; sliding: ` +
      `a window every ${STRIDE} bytes. The code that runs an artifact takes ${whole(code)} bytes more.`,
    '',
    markdownTable(
      [
        ...['model', 'bits a byte', 'nats', 'sliding', 'artifact', 'with code', 'bits a trit'],
        ...['training', 'apart', 'commit'],
      ],
      models.map((one) => [
        ...[one.name, bits(one.bitsPerByte), nats(one.bitsPerByte), bits(one.sliding)],
        ...[whole(one.bytes), whole(one.bytes + code), one.bitsPerTrit.toFixed(3)],
        `${(one.seconds / 60).toFixed(1)} min, ${one.cores} cores`,
        ...[one.apart === null ? '–' : one.apart.toFixed(5), one.commit],
      ]),
    ),
    '',
    'Apart: bits a byte between training’s own evaluation and the artifact in integers; noise-step trains the integers ' +
      'themselves. Its control trains the head alone, on the same first blocks. ' +
      `“${BASE}” has seen moby-dick alone.`,
    '',
    markdownTable(
      ['baseline', 'bits a byte', 'nats'],
      baselines.map(({ name, bitsPerByte }) => [name, bits(bitsPerByte), nats(bitsPerByte)]),
    ),
    '',
    'n-grams are Witten–Bell’s, counted on the training part.',
    ...recurrence(),
    ...deltas(),
    ...beside(),
  ].join('\n');
}

/** Depth recurrence: what blocks are worth, and what it is worth to apply them again. */
function recurrence() {
  const made = rows.filter(({ depth }) => depth);
  if (made.length === 0) return [];
  return [
    '',
    '## Depth recurrence',
    '',
    'Blocks that are applied again cost no bytes. All of these have 1,000 steps.',
    '',
    markdownTable(
      ['blocks', 'applied', 'artifact', 'bits a byte', 'training'],
      made.map((one) => [
        ...[one.name, `${one.depth} in all`, whole(one.bytes), bits(one.bitsPerByte)],
        `${(one.seconds / 60).toFixed(1)} min`,
      ]),
    ),
  ];
}

/** Forward-only fine-tuning: bytes against bits that they save. */
function deltas() {
  const base = rows.find(({ name }) => name === BASE);
  const made = rows.filter(({ base: name }) => name);
  if (!base || made.length === 0) return [];
  return [
    '',
    '## Fine-tuning',
    '',
    `Forward-only, the head alone: deltas on “${BASE}”, ${bits(base.bitsPerByte)} bits a byte on ${results.text}.`,
    '',
    markdownTable(
      ['delta', 'bytes', 'bits a byte', 'better by', 'training'],
      made.map((one) => [
        ...[one.name, whole(one.bytes), bits(one.bitsPerByte), bits(base.bitsPerByte - one.bitsPerByte)],
        `${one.seconds.toFixed(0)} s`,
      ]),
    ),
  ];
}

/** llama.cpp on the same model. */
function beside() {
  if (!llama) return [];
  const rate = (value) => `${whole(value)} bytes/s`;
  return [
    '',
    '## Beside llama.cpp',
    '',
    `${llama.model}, ${whole(llama.parameters)} weights, ${bits(llama.bitsPerByte)} bits a byte; exported as GGUF with TQ2_0 it has ` +
      `${whole(llama.bytes.gguf)} bytes, as an artifact ${whole(llama.bytes.artifact)}. ` +
      `${llama.llama[0].name} holds the same byte for the likeliest at ${(100 * llama.sameByte).toFixed(2)}% of ` +
      `${whole(llama.positions)} validation positions. (${llama.processor}, commit \`${llama.commit}\`)`,
    '',
    markdownTable(
      ['writing text at batch 1', 'speed'],
      [
        ['ternseed, wasm, 1 thread', rate(llama.bytesPerSecond)],
        ...llama.llama.map((one) => [
          `${one.name}, ${one.threads} thread${one.threads > 1 ? 's' : ''}`,
          rate(one.bytesPerSecond),
        ]),
      ],
    ),
  ];
}

function chart() {
  const points = rows
    .filter((row) => SERIES[row.series])
    .map(({ name, series, bytes: size, bitsPerByte }) => ({
      ...{ name, series, bytes: size, value: bitsPerByte },
    }));
  const used = Object.fromEntries(
    Object.entries(SERIES).filter(([name]) => rows.some((row) => row.series === name)),
  );
  return againstBytes(
    {
      title: `Bits a byte of ${results.text} against bytes shipped`,
      bytes: [5_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
      values: [4, 3.5, 3, 2.75, 2.5, 2.25, 2],
      label: (value) => value.toFixed(2),
    },
    points,
    used,
  );
}
