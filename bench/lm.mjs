// npm run bench:lm: language models on the last tenth of a text they were not trained on, beside n-grams and
// compressors; bits a byte against the bytes of the artifact. Runs go through the command line, as users' do. Rows
// that bench/results/lm.json has are kept; `-- --rows "4 × 128"` makes single ones anew, `--text FILE` takes another
// text than tinyshakespeare. The whole takes about an hour on two cores.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleForBrowsers } from '../scripts/browser.mjs';
import { againstBytes } from './chart.mjs';
import { compressed, gzip, wittenBell, xz } from './lm/baselines.mjs';
import { ROWS, SERIES } from './lm/rows.mjs';
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
/** What runs an artifact in a page, with all that it may load. */
const files = await bundleForBrowsers('ternseed-artifact.js');
const code = files.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
const path = join(root, 'bench/results/lm.json');
const known = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { baselines: [], rows: [] };
const asked = options.rows === '' ? [] : options.rows.split(',');
const folder = mkdtempSync(join(tmpdir(), 'ternseed-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const bytes = new Uint8Array(readFileSync(options.text));
const middle = Math.floor(0.9 * bytes.length);
const [train, text] = [bytes.subarray(0, middle), bytes.subarray(middle)];
const baselines = known.baselines.length > 0 ? known.baselines : measureBaselines();
const rows = [];
for (const row of ROWS) {
  const old = known.rows.find(({ name }) => name === row.name);
  if (old && !asked.includes(row.name)) rows.push(old);
  else if (asked.length === 0 || asked.includes(row.name)) rows.push(measure(row));
}
const results = { ...circumstances(), text: basename(options.text), code, baselines, rows };
writeReport('lm', results, page());
writeFileSync(join(root, 'bench/results/lm.svg'), chart());

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
function measure({ name, series, options: given }) {
  const file = join(folder, 'model.tern');
  const trained = ternseed('train', 'text', '--text', options.text, '--out', file, ...given);
  const sliding = ternseed('eval', file, '--data', options.text, '--stride', String(STRIDE));
  const { date, commit, processor, cores } = circumstances();
  return {
    ...{
      name,
      series,
      model: trained.model,
      parameters: trained.parameters,
      bytes: trained.bytes,
      bitsPerTrit: trained.bitsPerTrit,
    },
    ...{ bitsPerByte: trained.bitsPerByte, sliding: sliding.bitsPerByte, accuracy: trained.accuracy },
    apart: Math.abs(trained.bitsPerByte - trained.trainerBitsPerByte),
    ...{ seconds: trained.seconds, steps: trained.steps, peakMemoryBytes: trained.peakMemoryBytes },
    ...{ weightsHash: trained.weightsHash, date, commit, processor, cores },
  };
}

function page() {
  const bits = (value) => value.toFixed(3);
  const nats = (value) => (value * Math.LN2).toFixed(3);
  return [
    '# Language models',
    '',
    `\`npm run bench:lm\`: ${results.text}, ${whole(bytes.length)} bytes, the last ${whole(text.length)} of which are foretold. ` +
      `Bits a byte of the artifact as rebuilt from its bytes, in windows of its context one after another; sliding: ` +
      `a window every ${STRIDE} bytes. The code that runs an artifact takes ${whole(code)} bytes more.`,
    '',
    markdownTable(
      [
        'model',
        'bits a byte',
        'nats',
        'sliding',
        'artifact',
        'with code',
        'bits a trit',
        'training',
        'apart',
        'commit',
      ],
      rows.map((one) => [
        ...[one.name, bits(one.bitsPerByte), nats(one.bitsPerByte), bits(one.sliding)],
        ...[whole(one.bytes), whole(one.bytes + code), one.bitsPerTrit.toFixed(3)],
        `${(one.seconds / 60).toFixed(1)} min, ${one.cores} cores`,
        ...[one.apart.toFixed(5), one.commit],
      ]),
    ),
    '',
    'Apart: bits a byte between training’s own evaluation and the artifact in integers.',
    '',
    markdownTable(
      ['baseline', 'bits a byte', 'nats'],
      baselines.map(({ name, bitsPerByte }) => [name, bits(bitsPerByte), nats(bitsPerByte)]),
    ),
    '',
    'n-grams are Witten–Bell’s, counted on the training part.',
  ].join('\n');
}

function chart() {
  const points = rows.map(({ name, series, bytes: size, bitsPerByte }) => ({
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
