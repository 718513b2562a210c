// npm run bench:ste: the ste trainer on MNIST. Every preset over three seeds; the time of one training
// step against PyTorch and against plain TensorFlow.js, alternating; all quantizers in one table;
// QuEST with weights alone and with activations. Presets and steps run alone, for their times;
// the tables run two at a time. About three quarters of an hour on two cores; `-- --parts steps,presets` and
// `-- --seeds 1` shorten it for a look; `-- --parts presets --presets tiny` makes one row anew. What is
// left out keeps its earlier figures.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { QUANTIZERS, STE_PRESETS } from '../dist/src/backprop/index.js';
import {
  circumstances,
  markdownTable,
  median,
  peer,
  root,
  share,
  spread,
  ternseed,
  whole,
  writeReport,
} from './report.mjs';

const { values: options } = parseArgs({
  options: {
    parts: { type: 'string', default: 'steps,presets,quantizers,quest' },
    presets: { type: 'string', default: Object.keys(STE_PRESETS).join() },
    seeds: { type: 'string', default: '1,2,3' },
  },
});
const seeds = options.seeds.split(',');
const folder = mkdtempSync(join(tmpdir(), 'ternseed-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const run = promisify(execFile);

const STEP_WIDTHS = [784, 256, 256, 256, 10];
const QUEST_BITS = [1, 'ternary', 2, 4, 8];
/** Steps of a run of the tables: enough to tell quantizers apart. */
const TABLE_STEPS = 1000;
const QUEST_STEPS = 300;

const parts = {
  steps: () => [128, 512].map(stepTimes),
  presets: trainPresets,
  quantizers: trainQuantizers,
  quest: studyQuest,
};
const path = join(root, 'bench/results/ste.json');
const earlier = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
const results = { ...earlier };
for (const part of options.parts.split(',')) {
  process.stderr.write(`${part}\n`);
  results[part] = { ...circumstances(), seeds, rows: await parts[part]() };
  writeReport('ste', results, page(results));
}
if (results.presets && results.steps) await import('./readme.mjs');

/** Milliseconds of a step, each trainer in turn, several rounds. */
function stepTimes(batch) {
  const tfjs = join(peer('tfjs'), 'plain-step.mjs');
  const task = (threads) => JSON.stringify({ widths: STEP_WIDTHS, batch, seconds: 3, threads });
  const torch = join(root, 'bench/peers/torch/step.py');
  const trainers = {
    ours: () => execFileSync(process.execPath, [join(root, 'bench/ste-step.mjs'), task(1)]),
    torchTwo: () => execFileSync('/usr/bin/python3', [torch, task(2)]),
    torchOne: () => execFileSync('/usr/bin/python3', [torch, task(1)]),
    plain: () => execFileSync(process.execPath, [tfjs, task(1)]),
  };
  const rounds = Array.from({ length: 5 }, () =>
    Object.fromEntries(Object.entries(trainers).map(([name, time]) => [name, JSON.parse(time())])),
  );
  const rows = Object.keys(trainers).map((name) => {
    const times = rounds.map((round) => round[name].stepMs);
    const ratios = rounds.map((round) => round[name].stepMs / round.ours.stepMs);
    return {
      name: rounds[0][name].name,
      threads: rounds[0][name].threads,
      stepMs: median(times),
      ratio: median(ratios),
    };
  });
  return { batch, rows };
}

/** What tells a row that was made anew from those beside it. */
function madeBy() {
  const { commit, processor } = circumstances();
  return { commit, processor };
}

/** The rows of all presets: those asked for anew, the others as they were. */
function trainPresets() {
  const asked = options.presets.split(',');
  const kept = earlier.presets?.rows ?? [];
  return Object.keys(STE_PRESETS).flatMap((preset) =>
    asked.includes(preset) ? trainPreset(preset) : kept.filter((row) => row.preset === preset),
  );
}

/** One run a seed through the command line, as users run it. */
function trainPreset(preset) {
  const outcomes = seeds.map((seed) => {
    const out = join(folder, `${preset}-${seed}.tern`);
    const outcome = ternseed(
      'train',
      'mnist',
      '--method',
      'ste',
      '--preset',
      preset,
      '--seed',
      seed,
      '--out',
      out,
    );
    process.stderr.write(
      `${preset} seed ${seed}: ${share(outcome.accuracy)}, ${outcome.bytes} bytes, ${outcome.seconds.toFixed(0)} s\n`,
    );
    return outcome;
  });
  const of = (key) => spread(outcomes.map((outcome) => outcome[key]));
  const { model, steps, kind, packedBytes, floatBytes } = outcomes[0];
  return {
    ...{ preset, model, steps, kind, packedBytes, floatBytes, ...madeBy() },
    ...{
      accuracy: of('accuracy'),
      bytes: of('bytes'),
      seconds: of('seconds'),
      peakMemoryBytes: of('peakMemoryBytes'),
    },
    apart: Math.max(...outcomes.map(({ accuracy, trainerAccuracy }) => Math.abs(accuracy - trainerAccuracy))),
    weightsHashes: outcomes.map(({ weightsHash }) => weightsHash),
  };
}

/** The default network with every quantizer. */
async function trainQuantizers() {
  const tasks = QUANTIZERS.flatMap((quantizer) => seeds.map((seed) => ({ quantizer, seed })));
  const outcomes = await inPairs(tasks, async ({ quantizer, seed }) => {
    const out = join(folder, `${quantizer}-${seed}.tern`);
    const settings = [
      '--quantizer',
      quantizer,
      '--threshold',
      '0.8',
      '--steps',
      String(TABLE_STEPS),
      '--batch',
      '256',
    ];
    const args = ['train', 'mnist', '--method', 'ste', ...settings, '--seed', seed, '--threads', '1'];
    const main = join(root, 'dist/cli/main.js');
    const { stdout } = await run(process.execPath, [main, ...args, '--out', out, '--json'], {
      maxBuffer: 2 ** 28,
    });
    const { accuracy, bytes, trainerAccuracy } = JSON.parse(stdout);
    process.stderr.write(`${quantizer} seed ${seed}: ${share(accuracy)}, ${bytes} bytes\n`);
    return { accuracy, bytes, apart: Math.abs(accuracy - trainerAccuracy) };
  });
  return QUANTIZERS.map((quantizer, i) => {
    const mine = outcomes.slice(i * seeds.length, (i + 1) * seeds.length);
    const of = (key) => spread(mine.map((outcome) => outcome[key]));
    return {
      quantizer,
      accuracy: of('accuracy'),
      bytes: of('bytes'),
      apart: Math.max(...mine.map(({ apart }) => apart)),
    };
  });
}

/** A float network with QuEST's quantizers: weights alone or activations too, rotated or not. */
async function studyQuest() {
  const kinds = [
    { bits: 0, activations: false, rotate: false },
    ...QUEST_BITS.flatMap((bits) =>
      [false, true].flatMap((activations) => [false, true].map((rotate) => ({ bits, activations, rotate }))),
    ),
  ];
  const tasks = kinds.flatMap((kind) => seeds.map((seed) => ({ ...kind, seed, steps: QUEST_STEPS })));
  const accuracies = await inPairs(tasks, async (task) => {
    const script = join(root, 'bench/quantizer-study.mjs');
    const { stdout } = await run(process.execPath, [script, JSON.stringify(task)]);
    process.stderr.write(stdout);
    return JSON.parse(stdout).accuracy;
  });
  return kinds.map((kind, i) => ({
    ...kind,
    accuracy: spread(accuracies.slice(i * seeds.length, (i + 1) * seeds.length)),
  }));
}

/** Works on tasks, two at a time; results in their order. */
async function inPairs(tasks, work) {
  const outcomes = new Array(tasks.length);
  let next = 0;
  const worker = async () => {
    while (next < tasks.length) {
      const index = next++;
      outcomes[index] = await work(tasks[index]);
    }
  };
  await Promise.all([worker(), worker()]);
  return outcomes;
}

function page({ steps, presets, quantizers, quest }) {
  const mean = ({ mean: value, spread: width }) => `${share(value)} (spread ${share(width)})`;
  const points = (value) => `${(value * 100).toFixed(2)}`;
  const made = ({ date, commit, processor, cores, node, seeds: used }) =>
    `${date}, commit ${commit}, ${processor}, ${cores} cores, Node ${node}; seeds ${used.join(', ')}.`;
  const text = [
    '# MNIST, backprop with a straight-through estimator',
    '',
    'Made by `npm run bench:ste`.',
    '',
  ];
  if (presets) {
    text.push('## Presets', '', made(presets), '');
    text.push(
      markdownTable(
        [
          'preset',
          'network',
          'kind',
          'steps',
          'test accuracy',
          'training’s own, apart',
          'bytes',
          'packed',
          'time',
          'memory',
          'commit',
          'processor',
        ],
        presets.rows.map((row) => [
          ...[
            `**${row.preset}**`,
            row.model,
            row.kind,
            whole(row.steps),
            mean(row.accuracy),
            points(row.apart),
          ],
          ...[whole(row.bytes.mean), whole(row.packedBytes), `${row.seconds.mean.toFixed(0)} s`],
          `${(row.peakMemoryBytes.mean / 2 ** 20).toFixed(0)} MiB`,
          row.commit,
          row.processor,
        ]),
      ),
      '',
      'Spread is largest minus smallest. Apart: the largest difference, in points, between the accuracy that training’s own ' +
        'forward pass finds and that of the artifact in integers, on the same 10,000 digits. Bytes are the whole file.',
      '',
    );
  }
  if (steps) {
    text.push(`## One training step, ${STEP_WIDTHS.join('-')}, absmean, AdamW`, '', made(steps), '');
    for (const { batch, rows } of steps.rows) {
      text.push(
        markdownTable(
          [`batch ${batch}`, 'threads', 'ms a step', 'against ternseed'],
          rows.map(({ name, threads, stepMs, ratio }) => [
            name,
            threads,
            stepMs.toFixed(2),
            `${ratio.toFixed(2)}×`,
          ]),
        ),
        '',
      );
    }
    text.push(
      'Medians of five rounds in which the trainers took turns. TensorFlow.js has no threads in Node.',
      '',
    );
  }
  if (quantizers) {
    text.push(`## Quantizers of the integer network, ${TABLE_STEPS} steps of 256`, '', made(quantizers), '');
    text.push(
      markdownTable(
        ['quantizer', 'test accuracy', 'bytes', 'training’s own, apart'],
        quantizers.rows.map(({ quantizer, accuracy, bytes, apart }) => [
          ...[quantizer, mean(accuracy), whole(bytes.mean), points(apart)],
        ]),
      ),
      '',
      'Activations are u7 everywhere. `sparse` is at a threshold of 0.8 σ.',
      '',
    );
  }
  if (quest) {
    const find = (bits, activations, rotate) =>
      quest.rows.find((row) => row.bits === bits && row.activations === activations && row.rotate === rotate);
    text.push(`## QuEST in a float32 network, ${QUEST_STEPS} steps of 256`, '', made(quest), '');
    text.push(
      markdownTable(
        ['bits', 'weights', 'weights, rotated', 'weights + activations', 'weights + activations, rotated'],
        [
          ...QUEST_BITS.map((bits) => [
            bits,
            ...[
              [false, false],
              [false, true],
              [true, false],
              [true, true],
            ].map((kind) => mean(find(bits, ...kind).accuracy)),
          ]),
          ['float32', mean(find(0, false, false).accuracy), '', '', ''],
        ],
      ),
      '',
      'Rotated: with the Hadamard transform of QuEST, which the integer network has not.',
    );
  }
  return text.join('\n');
}
