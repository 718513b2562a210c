// Writes the figures of bench/results/mnist.json into the README, between its markers, and
// draws the chart: `node bench/readme.mjs`.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accuracyAgainstBytes } from './chart.mjs';
import { markdownTable, root, share, whole } from './report.mjs';

/** Published points: what it takes to ship them is their log. */
const PUBLISHED = [{ name: 'noise_step (paper)', bytes: 38_500, accuracy: 0.89, ours: false }];

const results = JSON.parse(readFileSync(join(root, 'bench/results/mnist.json'), 'utf8'));
const { runs, forward, replays } = results;

const rows = runs.map(({ preset, trained, control }) => {
  const { mean, spread } = trained.accuracy;
  const replay = replays.find((entry) => entry.preset === preset);
  return [
    `\`${preset}\``,
    `${trained.model}, ${trained.kind}`,
    `**${share(mean)}** ± ${share(spread / 2)}`,
    whole(trained.bytes.mean),
    `${whole(trained.packedBytes)} / ${whole(trained.floatBytes)}`,
    share(control.accuracy.mean),
    `${trained.seconds.mean.toFixed(0)} s`,
    `${replay.milliseconds.toFixed(0)} ms`,
  ];
});
const head = [
  'preset',
  'network',
  'test accuracy',
  'bytes',
  'packed / float32',
  'hidden layers frozen',
  'training',
  'rebuild',
];
const text = [
  markdownTable(head, rows),
  '',
  `Mean of three seeds ± half the spread, on ${results.cores} cores of ${results.processor} (${results.date}, commit ` +
    `\`${results.commit}\`, Node ${results.node}); [all figures](bench/results/mnist.md), made by \`npm run bench:mnist\`. ` +
    `Forward passes: ${forward.ratioTwoThreads.toFixed(1)}× ${forward.peer} on the same network and machine.`,
].join('\n');

const path = join(root, 'README.md');
const readme = readFileSync(path, 'utf8');
const marked = /(<!-- figures -->\n)[\s\S]*?(<!-- \/figures -->)/;
if (!marked.test(readme)) throw new Error('README.md has no <!-- figures --> markers');
writeFileSync(
  path,
  readme.replace(marked, (_, open, close) => `${open}${text}\n${close}`),
);

const points = runs.map(({ preset, trained }) => ({
  name: `${preset}: ${share(trained.accuracy.mean)}`,
  bytes: trained.bytes.mean,
  accuracy: trained.accuracy.mean,
  ours: true,
}));
writeFileSync(join(root, 'bench/results/mnist.svg'), accuracyAgainstBytes([...PUBLISHED, ...points]));
