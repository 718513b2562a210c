// npm run bench:mnist: every preset on MNIST over three seeds, each beside its control with the
// hidden layers frozen; another data set with untouched presets; forward passes against
// TensorFlow.js; replay. Runs go through the command line, as users' do. About twenty minutes
// on two cores; `-- --presets small,default` and `-- --seeds 1` shorten it for a look.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { networkOf, openArtifact, openBackend, rebuild } from '../dist/src/index.js';
import {
  circumstances,
  markdownTable,
  median,
  peer,
  share,
  spread,
  ternseed,
  whole,
  writeReport,
} from './report.mjs';

const { values: options } = parseArgs({
  options: {
    presets: { type: 'string', default: 'default,small,best,paper' },
    seeds: { type: 'string', default: '1,2,3' },
  },
});
const where = circumstances();
const presets = options.presets.split(',');
const seeds = options.seeds.split(',');
const folder = mkdtempSync(join(tmpdir(), 'ternseed-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const runs = presets.map((preset) => {
  const trained = trainAll(['mnist'], preset, 'all');
  const control = trainAll(['mnist'], preset, 'head');
  return { preset, trained, control };
});
const fashion = presets.map((preset) => ({
  preset,
  trained: trainAll(fashionSource(), preset, 'all', seeds.slice(0, 1)),
}));
const forward = await forwardPasses();
const replays = await replayTimes();
const results = { ...where, runs, fashion, forward, replays };
writeReport('mnist', results, page(results));
await import('./readme.mjs');

/** One run a seed; what `train --json` says of each, summed up. */
function trainAll(source, preset, train, chosen = seeds) {
  const outcomes = chosen.map((seed) => {
    const out = join(folder, `${source[0]}-${preset}-${train}-${seed}.tern`);
    const args = ['--preset', preset, '--seed', seed, '--train', train, '--out', out];
    const outcome = ternseed('train', ...source, ...args);
    process.stderr.write(
      `${source[0]} ${preset} ${train} seed ${seed}: ${share(outcome.accuracy)}, ${outcome.bytes} bytes, ${outcome.seconds.toFixed(0)} s\n`,
    );
    return outcome;
  });
  const of = (key) => spread(outcomes.map((outcome) => outcome[key]));
  const { model, steps, kind, packedBytes, floatBytes, forwardPasses: passes, deviceBytes } = outcomes[0];
  return {
    ...{ model, steps, kind, packedBytes, floatBytes, forwardPasses: passes, deviceBytes },
    ...{
      accuracy: of('accuracy'),
      bytes: of('bytes'),
      seconds: of('seconds'),
      peakMemoryBytes: of('peakMemoryBytes'),
    },
    weightsHashes: outcomes.map((outcome) => outcome.weightsHash),
  };
}

function fashionSource() {
  const home = peer('fashion');
  const data = join(home, 'idx');
  if (!existsSync(data)) execFileSync(process.execPath, [join(home, 'prepare.mjs'), data]);
  return ['idx', '--data', data];
}

/** Forward passes a second of 784-256-256-256-10 at batch 1024, alternating with the peer. */
async function forwardPasses() {
  const widths = [784, 256, 256, 256, 10];
  const batch = 1024;
  const seconds = 3;
  const home = peer('tfjs');
  const rounds = [];
  for (let round = 0; round < 5; round++) {
    const output = execFileSync(
      process.execPath,
      [join(home, 'forward.mjs'), JSON.stringify([widths, batch, seconds])],
      { encoding: 'utf8' },
    );
    const theirs = JSON.parse(output);
    const ours = [];
    for (const threads of [1, 2]) {
      const backend = await openBackend('wasm', threads);
      ours.push(await passesPerSecond(backend, widths, batch, seconds));
      await backend.close();
    }
    rounds.push({ theirs, oneThread: ours[0], twoThreads: ours[1] });
  }
  const of = (pick) => median(rounds.map(pick));
  return {
    ...{ widths, batch, peer: rounds[0].theirs.name, peerThreads: rounds[0].theirs.threads },
    peerPassesPerSecond: of(({ theirs }) => theirs.passesPerSecond),
    oneThread: of(({ oneThread }) => oneThread),
    twoThreads: of(({ twoThreads }) => twoThreads),
    ratioOneThread: of(({ theirs, oneThread }) => oneThread / theirs.passesPerSecond),
    ratioTwoThreads: of(({ theirs, twoThreads }) => twoThreads / theirs.passesPerSecond),
  };
}

async function passesPerSecond(backend, widths, batch, seconds) {
  const network = networkOf(widths, { centred: true, gain: 40, logitScale: 300 });
  const placed = await backend.place(network, { batch });
  await placed.initLatents([1, 2], 0);
  const inputs = Uint8Array.from({ length: batch * widths[0] }, (_, i) => (i * 31) % 128);
  const labels = new Uint8Array(batch);
  placed.load({ inputs, labels, length: 1 });
  for (let i = 0; i < 5; i++) await placed.evaluate();
  const started = performance.now();
  let passes = 0;
  while (performance.now() - started < seconds * 1000) {
    placed.load({ inputs, labels, length: 1 });
    await placed.evaluate();
    passes += batch;
  }
  return (passes * 1000) / (performance.now() - started);
}

/** Median milliseconds of rebuilding the first seed's artifact of each preset. */
async function replayTimes() {
  const backend = await openBackend('auto');
  const times = [];
  for (const preset of presets) {
    const bytes = new Uint8Array(readFileSync(join(folder, `mnist-${preset}-all-${seeds[0]}.tern`)));
    const samples = [];
    for (let i = 0; i < 7; i++) {
      const started = performance.now();
      await rebuild(openArtifact(bytes), backend);
      samples.push(performance.now() - started);
    }
    times.push({ preset, kind: openArtifact(bytes).kind, milliseconds: median(samples), first: samples[0] });
  }
  await backend.close();
  return times;
}

function page({ runs, fashion, forward, replays, ...where }) {
  const plusMinus = ({ mean, spread }, show) => `${show(mean)} (spread ${show(spread)})`;
  const row = (
    name,
    { model, kind, steps, accuracy, bytes, packedBytes, seconds, forwardPasses, peakMemoryBytes },
  ) => [
    ...[name, model, kind, whole(steps), plusMinus(accuracy, share), whole(bytes.mean), whole(packedBytes)],
    ...[`${seconds.mean.toFixed(0)} s`, `${(forwardPasses / 1e6).toFixed(1)} M`],
    `${(peakMemoryBytes.mean / 2 ** 20).toFixed(0)} MiB`,
  ];
  const head = [
    'preset',
    'model',
    'kind',
    'steps',
    'test accuracy',
    'bytes',
    'packed',
    'time',
    'forward passes',
    'memory',
  ];
  return [
    '# MNIST, forward-only',
    '',
    `${where.date}, commit ${where.commit}, ${where.processor}, ${where.cores} cores, ${where.memoryGiB} GiB, Node ${where.node}. ` +
      `Mean over seeds ${seeds.join(', ')}; spread is largest minus smallest. Made by \`npm run bench:mnist\`.`,
    '',
    markdownTable(
      head,
      runs.flatMap(({ preset, trained, control }) => [
        row(`**${preset}**`, trained),
        row(`${preset}, hidden layers frozen`, control),
      ]),
    ),
    '',
    'Bytes are the whole file. Packed is the same network at five trits a byte. Memory is the peak of the whole ' +
      'process, of which the data set in memory is about 110 MiB.',
    '',
    '## Fashion-MNIST, the same presets untouched, one seed',
    '',
    markdownTable(
      head,
      fashion.map(({ preset, trained }) => row(preset, trained)),
    ),
    '',
    '## Memory of training on the device',
    '',
    markdownTable(
      ['preset', 'weights', 'latents', 'one batch', 'work'],
      runs.map(({ preset, trained: { deviceBytes } }) => [
        preset,
        ...['weights', 'latents', 'batch', 'work'].map((part) => whole(deviceBytes[part])),
      ]),
    ),
    '',
    'Bytes. Work is what comes on top: tables, tiles of 16 examples a thread, and one number a direction and thread; it grows neither with the batch nor with the weights (test/memory.test.ts). The optimizer of a pool keeps 28 bytes a direction on the host.',
    '',
    `## Forward passes a second, ${forward.widths.join('-')}, batch ${forward.batch}`,
    '',
    markdownTable(
      ['', 'passes/s', 'ratio'],
      [
        [
          `${forward.peer}, float32${forward.peerThreads ? '' : ' (has no threads in Node)'}`,
          whole(forward.peerPassesPerSecond),
          '1',
        ],
        ['ternseed wasm, 1 thread', whole(forward.oneThread), `${forward.ratioOneThread.toFixed(1)}×`],
        ['ternseed wasm, 2 threads', whole(forward.twoThreads), `${forward.ratioTwoThreads.toFixed(1)}×`],
      ],
    ),
    '',
    '## Replay: open, rebuild, read all weights',
    '',
    markdownTable(
      ['preset', 'kind', 'median', 'first'],
      replays.map(({ preset, kind, milliseconds, first }) => [
        ...[preset, kind, `${milliseconds.toFixed(1)} ms`, `${first.toFixed(1)} ms`],
      ]),
    ),
  ].join('\n');
}
