// Writes the figures of bench/results/mnist.json and ste.json into the README, between its markers,
// and draws the chart: `node bench/readme.mjs`.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accuracyAgainstBytes } from './chart.mjs';
import { markdownTable, root, share, whole } from './report.mjs';

/** Published points; noise_step ships its log, BitNetMCU its packed weights. */
const PUBLISHED = [
  { name: 'noise_step (paper)', bytes: 38_500, accuracy: 0.89, series: 'theirs' },
  { name: 'BitNetMCU, 2 bits', bytes: 1_128, accuracy: 0.9422, series: 'theirs' },
  { name: 'BitNetMCU, ternary', bytes: 12_600, accuracy: 0.984, series: 'theirs' },
];
const SERIES = {
  forward: 'ternseed, noise-step (forward-only)',
  ste: 'ternseed, ste (backprop)',
  theirs: 'published by others',
};

const resultsOf = (name) => JSON.parse(readFileSync(join(root, `bench/results/${name}.json`), 'utf8'));
const forwardOnly = resultsOf('mnist');
const { presets, steps } = resultsOf('ste');

const accuracyOf = ({ mean, spread }) => `**${share(mean)}** ± ${share(spread / 2)}`;
const where = ({ date, commit, processor, cores, node }) =>
  `${cores} cores of ${processor} (${date}, commit \`${commit}\`, Node ${node})`;

const { forward, replays } = forwardOnly;
const noiseStep = [
  markdownTable(
    [
      'noise-step',
      'network',
      'test accuracy',
      'bytes',
      'packed / float32',
      'hidden layers frozen',
      'training',
      'rebuild',
    ],
    forwardOnly.runs.map(({ preset, trained, control }) => {
      const replay = replays.find((entry) => entry.preset === preset);
      return [
        `\`${preset}\``,
        `${trained.model}, ${trained.kind}`,
        accuracyOf(trained.accuracy),
        whole(trained.bytes.mean),
        `${whole(trained.packedBytes)} / ${whole(trained.floatBytes)}`,
        share(control.accuracy.mean),
        `${trained.seconds.mean.toFixed(0)} s`,
        `${replay.milliseconds.toFixed(0)} ms`,
      ];
    }),
  ),
  '',
  `Mean of three seeds ± half the spread, on ${where(forwardOnly)}; [all figures](bench/results/mnist.md), made by \`npm run bench:mnist\`. ` +
    `Forward passes: ${forward.ratioTwoThreads.toFixed(1)}× ${forward.peer} on the same network and machine.`,
];

const [small] = steps.rows;
const ours = small.rows.find(({ name }) => name.startsWith('ternseed'));
const torch = small.rows
  .filter(({ name }) => name.startsWith('PyTorch'))
  .sort((a, b) => a.stepMs - b.stepMs)[0];
const plain = small.rows.find(({ name }) => name.startsWith('TensorFlow.js'));
const ste = [
  markdownTable(
    ['ste', 'network', 'test accuracy', 'bytes', 'packed / float32', 'training'],
    presets.rows.map((row) => [
      `\`${row.preset}\``,
      `${row.model}, ${row.kind}`,
      accuracyOf(row.accuracy),
      whole(row.bytes.mean),
      `${whole(row.packedBytes)} / ${whole(row.floatBytes)}`,
      `${row.seconds.mean.toFixed(0)} s`,
    ]),
  ),
  '',
  `Three seeds, on ${where({ ...presets, commit: eachOf(presets.rows, 'commit').join('`, `'), processor: eachOf(presets.rows, 'processor').join(' and ') })}; [all figures](bench/results/ste.md), made by \`npm run bench:ste\`. ` +
    `Training’s own evaluation and the artifact’s in integers are ${apart(presets.rows)}. ` +
    `One training step at batch ${small.batch}: ${ours.stepMs.toFixed(1)} ms, ${torch.ratio.toFixed(2)}× as long in ${torch.name} ` +
    `on ${torch.threads} thread${torch.threads > 1 ? 's' : ''}, ${plain.ratio.toFixed(0)}× as long in plain TensorFlow.js.`,
];

function eachOf(rows, key) {
  return [...new Set(rows.map((row) => row[key]))];
}

function apart(rows) {
  const most = Math.max(...rows.map((row) => row.apart));
  return most === 0 ? 'identical' : `at most ${(most * 100).toFixed(2)} points apart`;
}

const speed = resultsOf('speed');
const giga = (rate) => (rate / 1e9).toFixed(0);
const speedText = [
  markdownTable(
    ['one core, 1024 × 784 × 256', 'GOP/s'],
    speed.product.rows
      .filter(({ name }) => !name.startsWith('dot products'))
      .map(({ name, rates, ours: mine }) => [mine ? `**${name}**` : name, giga(rates[0])]),
  ),
  '',
  `On ${where(speed.product)}, in turns in one run; others on that machine make single figures up to a third lower. ` +
    `${speed.steps.rows.map(({ preset, ms, peer }) => `A step of \`${preset}\` takes ${ms.toFixed(0)} ms on two threads, ${(peer.ms / ms).toFixed(1)}× as long in ${peer.name}`).join('; ')}. ` +
    `Installed it is ${(speed.sizes.rows[0].bytes / 2 ** 20).toFixed(1)} MiB. [All figures](bench/results/speed.md), made by \`npm run bench\`.`,
].join('\n');

const lm = resultsOf('lm');
const base = lm.rows.find(({ series }) => series === 'base');
const [best] = lm.rows;
const lmText = [
  markdownTable(
    ['language model, bytes', 'bits a byte (nats)', 'artifact', 'training'],
    [
      ...lm.rows
        .filter(({ series }) => ['ste', 'recurrent', 'forward'].includes(series))
        .map((row) => [
          `${row.name}${row.series === 'forward' ? '' : ', ste'}`,
          `**${row.bitsPerByte.toFixed(3)}** (${(row.bitsPerByte * Math.LN2).toFixed(3)})`,
          `${whole(row.bytes)} bytes`,
          `${(row.seconds / 60).toFixed(1)} min`,
        ]),
      ...lm.rows
        .filter(({ series }) => series === 'delta')
        .map((row) => [
          `${row.name} (${row.base}: ${base.bitsPerByte.toFixed(3)})`,
          `**${row.bitsPerByte.toFixed(3)}** (${(row.bitsPerByte * Math.LN2).toFixed(3)})`,
          `${whole(row.bytes)} bytes`,
          `${row.seconds.toFixed(0)} s`,
        ]),
      ...lm.baselines
        .filter(({ name }) => !name.endsWith('alone'))
        .map(({ name, bitsPerByte }) => [
          name,
          `${bitsPerByte.toFixed(3)} (${(bitsPerByte * Math.LN2).toFixed(3)})`,
          '–',
          '–',
        ]),
    ],
  ),
  '',
  `${lm.text}, its last tenth, on ${where({ ...lm, commit: eachOf(lm.rows, 'commit').join('`, `'), processor: eachOf(lm.rows, 'processor').join(' and ') })}; one seed; [all figures](bench/results/lm.md), made by \`npm run bench:lm\`. ` +
    (lm.llama
      ? `llama.cpp holds the same byte for the likeliest at ${share(lm.llama.sameByte)} of ${whole(lm.llama.positions)} positions, and writes ` +
        `${whole(lm.llama.llama[0].bytesPerSecond)} bytes a second where ternseed writes ${whole(lm.llama.bytesPerSecond)} (${lm.llama.model}, one thread each).`
      : ''),
  '',
  `What “${best.name}” writes:`,
  '',
  '```',
  ...(best.sample ?? '').trimEnd().split('\n'),
  '```',
];

const path = join(root, 'README.md');
let readme = readFileSync(path, 'utf8');
for (const [name, text] of Object.entries({
  figures: [...noiseStep, '', ...ste].join('\n'),
  speed: speedText,
  lm: lmText.join('\n'),
})) {
  const marked = new RegExp(`(<!-- ${name} -->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
  if (!marked.test(readme)) throw new Error(`README.md has no <!-- ${name} --> markers`);
  readme = readme.replace(marked, (_, open, close) => `${open}${text}\n${close}`);
}
writeFileSync(path, readme);

const pointOf = ({ accuracy, bytes, kind }, preset, series) => ({
  name: `${preset}, ${kind}: ${share(accuracy.mean)}`,
  bytes: bytes.mean,
  accuracy: accuracy.mean,
  series,
});
const points = [
  ...PUBLISHED,
  ...forwardOnly.runs.map(({ preset, trained }) => pointOf(trained, preset, 'forward')),
  ...presets.rows.map((row) => pointOf(row, row.preset, 'ste')),
];
writeFileSync(join(root, 'bench/results/mnist.svg'), accuracyAgainstBytes(points, SERIES));
