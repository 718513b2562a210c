// Time to rebuild weights from seeds, against parameters and steps, on one thread and on two, with a cost
// model fitted to it and what that says of 175 billion parameters. The coefficients are random, the files
// are real. `npm run bench:replay`; about ten minutes, of which a busy machine makes more.
//
// A machine may be busy: beside the wall clock stands the processor's time, and the model is fitted to that.

import { encodeSeedLog, encodeSeedPool, openArtifact } from '../dist/src/artifact/artifact.js';
import { rebuild, rebuildRows } from '../dist/src/artifact/rebuild.js';
import { openWasm } from '../dist/src/backend/wasm/wasm.js';
import { circumstances, markdownTable, whole, writeReport } from './report.mjs';

/** 10⁵ … 10⁸ weights; no layer may have more than 2²². */
const MODELS = {
  1e5: '256-256-128-10',
  1e6: '784-640-640-128-10',
  1e7: ['1536', ...Array(4).fill('1536'), '512', '10'].join('-'),
  1e8: [...Array(25).fill('2000'), '10'].join('-'),
};
/** Steps of a log, directions of a step, nonzeros of a direction. */
const LOGS = [
  [100, 128, 16],
  [400, 128, 16],
  [100, 128, 512],
  [400, 128, 512],
];
const RUNS = 3;
const THREADS = [1, 2];
const outcome = (steps) => ({ steps, weightsHash: '0'.repeat(64) });

let state = 1;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
/** The trit of a log's coefficient: half are kept. */
const trit = () => (random() < 0.5 ? 0 : random() < 0.5 ? 1 : -1);

const headerOf = (kind, model, directions) => ({
  ...{ kind, model, centred: true, gain: 40, logitScale: 100, key: '0123456789abcdef', cut: 1, directions },
  ...{ config: {}, data: { name: 'none', hash: '' } },
});

function logOf(model, [steps, directions, nonzeros]) {
  const entries = Array.from({ length: steps }, (_, i) => ({
    ...{ seedStep: i + 1, nonzeros, loss: 200 },
    coefficients: Int8Array.from({ length: directions }, trit),
  }));
  return openArtifact(encodeSeedLog(headerOf('log', model, [directions]), entries, outcome(steps)));
}

/** A pool of one direction for eight weights, at most 65,536 in all. */
function poolOf(model) {
  const widths = model.split('-').map(Number);
  const sizes = widths.slice(1).map((rows, i) => rows * widths[i]);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const share = Math.min(1 / 8, 65_536 / total);
  const directions = sizes.map((size) => Math.max(1, Math.floor(size * share)));
  const count = directions.reduce((sum, one) => sum + one, 0);
  const coefficients = Int16Array.from({ length: count }, () => Math.round(4 * (random() - 0.5)));
  return openArtifact(encodeSeedPool(headerOf('pool', model, directions), coefficients, outcome(1)));
}

/** The least wall and processor time of some runs, in seconds. */
async function timed(work) {
  const best = { seconds: Infinity, cpuSeconds: Infinity };
  for (let run = 0; run < RUNS; run++) {
    const cpu = process.cpuUsage();
    const begun = performance.now();
    await work();
    best.seconds = Math.min(best.seconds, (performance.now() - begun) / 1000);
    const { user, system } = process.cpuUsage(cpu);
    best.cpuSeconds = Math.min(best.cpuSeconds, (user + system) / 1e6);
  }
  return best;
}

async function measure(artifact, cells) {
  const rows = [];
  for (const threads of THREADS) {
    const backend = await openWasm({ threads });
    rows.push({ ...cells, threads, ...(await timed(() => rebuild(artifact, backend))) });
    await backend.close();
    const { weights, kind, moves, seconds, cpuSeconds } = rows.at(-1);
    process.stderr.write(
      `${whole(weights)} ${kind} ${moves} ${threads}: ${seconds.toFixed(3)} s, ${cpuSeconds.toFixed(3)} s\n`,
    );
  }
  return rows;
}

/** Least squares of relative errors: y ≈ Σ c_j x_j, by the normal equations. */
function fit(rows, featuresOf, valueOf) {
  const size = featuresOf(rows[0]).length;
  const matrix = Array.from({ length: size }, () => Array(size + 1).fill(0));
  for (const row of rows) {
    const y = valueOf(row);
    const x = featuresOf(row).map((value) => value / y);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) matrix[i][j] += x[i] * x[j];
      matrix[i][size] += x[i];
    }
  }
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (j === i) continue;
      const factor = matrix[j][i] / matrix[i][i];
      for (let k = i; k <= size; k++) matrix[j][k] -= factor * matrix[i][k];
    }
  }
  const costs = matrix.map((line, i) => line[size] / line[i]);
  const errors = rows.map((row) => {
    const guess = featuresOf(row).reduce((sum, value, i) => sum + value * costs[i], 0);
    return Math.abs(guess / valueOf(row) - 1);
  });
  return { costs, largestError: Math.max(...errors) };
}

const rows = [];
const tiles = [];
for (const model of Object.values(MODELS)) {
  const pool = poolOf(model);
  const weights = pool.network.parameters;
  rows.push(...(await measure(pool, { weights, kind: 'pool', steps: 0, coefficients: 0, moves: 0 })));
  const { name, rows: height, columns } = pool.network.tensors[0];
  for (const count of [16, Math.min(height, 256)]) {
    const { seconds, cpuSeconds } = await timed(() => rebuildRows(pool, name, { from: 0, to: count }));
    tiles.push({ weights, tile: count * columns, seconds, cpuSeconds });
  }
  for (const shape of LOGS) {
    const [steps, directions, nonzeros] = shape;
    const log = logOf(model, shape);
    const moves = steps * directions * nonzeros;
    const coefficients = steps * directions * Math.min(16, nonzeros); // weights that decoding looks at
    rows.push(...(await measure(log, { weights, kind: 'log', steps, coefficients, moves })));
  }
}

const single = rows.filter(({ threads }) => threads === 1);
const poolModel = fit(
  single.filter(({ kind }) => kind === 'pool'),
  ({ weights }) => [weights],
  ({ cpuSeconds }) => cpuSeconds,
);
/** Weights that lie near the processor; a move among more of them costs more with each doubling. */
const NEAR_WEIGHTS = 2 ** 20;
const doublings = (weights) => Math.max(0, Math.log2(weights / NEAR_WEIGHTS));
const logModel = fit(
  single.filter(({ kind }) => kind === 'log'),
  ({ weights, moves, coefficients }) => [weights, moves, moves * doublings(weights), coefficients],
  ({ cpuSeconds }) => cpuSeconds,
);

/**
 * noise_step's own estimate for GPT-3: 93,750 steps of 32 to 1,024 perturbations, rebuilt by 5·10¹⁷ to
 * 1.7·10¹⁹ sums, since its noise is drawn for every weight of every perturbation.
 */
const GPT3 = { weights: 175e9, steps: 93_750, perturbations: [32, 1024], sums: [5e17, 1.7e19], nonzeros: 16 };
const [perWeight, perMove, perDoubling, perLook] = logModel.costs;
const extrapolated = GPT3.perturbations.map((directions, i) => {
  const moves = GPT3.steps * directions * GPT3.nonzeros;
  const perMoveThere = perMove + perDoubling * doublings(GPT3.weights);
  const logSeconds = perWeight * GPT3.weights + (perMoveThere + perLook) * moves;
  return {
    directions,
    moves,
    logSeconds,
    theirSums: GPT3.sums[i],
    theirSecondsAtOurMoves: GPT3.sums[i] * perMove,
  };
});
const poolSeconds = poolModel.costs[0] * GPT3.weights;

const ns = (seconds) => `${(seconds * 1e9).toFixed(1)} ns`;
const time = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`);
const hours = (seconds) => `${(seconds / 3600).toPrecision(2)} h`;
const results = {
  ...circumstances(),
  rows,
  tiles,
  poolModel,
  logModel,
  gpt3: { ...GPT3, extrapolated, poolSeconds },
};
const { date, commit, processor, cores, node } = results;
const byCell = single.map((one) => {
  const two = rows.find(
    (row) =>
      row.threads === 2 && row.kind === one.kind && row.weights === one.weights && row.moves === one.moves,
  );
  const log = one.kind === 'log';
  return [
    ...[whole(one.weights), one.kind, log ? whole(one.steps) : '', log ? whole(one.moves) : ''],
    ...[time(one.seconds), time(one.cpuSeconds), time(two.seconds), time(two.cpuSeconds)],
  ];
});
writeReport(
  'replay',
  results,
  [
    '# Rebuilding weights from seeds\n',
    `${cores} cores of ${processor}, Node ${node}, ${date}, commit \`${commit}\`; the least of ${RUNS} runs. Beside the wall ` +
      'clock stands the processor’s time over all threads, which other work on the machine disturbs less: on two idle ' +
      'cores, half of the latter is what two threads take.\n',
    markdownTable(
      ['weights', 'kind', 'steps', 'Σ K·n', '1 thread', 'processor', '2 threads', 'processor'],
      byCell,
    ),
    '\nHelpers are started from 2²² weights on for a pool, and for a log once it has moved 2²¹ weights.\n',
    '## Cost model, one thread\n',
    `pool: ${ns(poolModel.costs[0])} a weight (largest error ${Math.round(100 * poolModel.largestError)}%)\n`,
    `log: ${ns(perWeight)} a weight + ${ns(perMove)} a nonzero of Σ K·n, of which half move a weight, and ${ns(perDoubling)} more ` +
      `with each doubling of the weights above 2²⁰, since memory is further away + ${ns(perLook)} a weight that decoding looks at, ` +
      `at most 16 a direction (largest error ${Math.round(100 * logModel.largestError)}%)\n`,
    '## Some rows alone, of a pool\n',
    markdownTable(
      ['weights of the model', 'of the tile', 'time', 'a weight'],
      tiles.map(({ weights, tile, cpuSeconds }) => [
        whole(weights),
        whole(tile),
        time(cpuSeconds),
        ns(cpuSeconds / tile),
      ]),
    ),
    '\n## 175 billion parameters\n',
    'noise_step’s paper estimates 93,750 steps for a model of GPT-3’s size and counts the sums that rebuilding it takes: every ' +
      'perturbation is drawn for every weight. Sparse directions whose weights a permutation names are drawn where they are not ' +
      'zero alone. One thread of this machine, by the model above, if its memory held them:\n',
    markdownTable(
      ['perturbations a step', 'the paper’s sums', 'at our time a move', 'nonzeros here, n = 16', 'log here'],
      extrapolated.map((one) => [
        ...[whole(one.directions), one.theirSums.toExponential(1), hours(one.theirSecondsAtOurMoves)],
        ...[one.moves.toExponential(1), hours(one.logSeconds)],
      ]),
    ),
    `\nA pool, whatever the steps: ${hours(poolSeconds)}. Moves were measured up to 10⁸ weights: beyond, each doubling is taken to ` +
      'cost what it did up to there. Whether 16 nonzeros a direction would train such a model is not known.',
  ].join('\n'),
);
