// npm run bench:scaling: how the cost of a step grows with width, depth, batch, directions, pool and threads, each
// by itself, with the exponent of a fitted power; and time and memory of a forward pass and of a log's step up to 10⁸
// weights. Random data: the work does not depend on it but for zeros, of which half of the inputs are. Two minutes.

import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { openWasm } from '../dist/src/backend/wasm/wasm.js';
import { PRESETS } from '../dist/src/perturb/presets.js';
import { NoiseStepTrainer } from '../dist/src/perturb/trainer.js';
import { directionSet } from '../dist/src/random/directions.js';
import { networkOf } from '../dist/src/ternary/builders/perceptron.js';
import { curves } from './lines.mjs';
import { circumstances, markdownTable, median, root, whole, writeReport } from './report.mjs';

const SECONDS = 1.2;
const INPUTS = 256;
const EXAMPLES = 8192;

/** Half of the inputs zero, labels that have nothing to do with them. */
const data = {
  inputs: Uint8Array.from({ length: EXAMPLES * INPUTS }, (_, i) => {
    const noise = Math.imul(i + 1, 2654435761) >>> 24;
    return noise > 127 ? noise - 128 : 0;
  }),
  labels: Uint8Array.from({ length: EXAMPLES }, (_, i) => i % 10),
  ...{ count: EXAMPLES, width: INPUTS, image: { rows: 16, columns: 16, channels: 1, planar: false } },
};

/** Milliseconds of a step and bytes on the device. */
async function stepOf(changes, threads = 1) {
  const backend = await openWasm({ threads });
  const config = {
    ...PRESETS.default,
    model: `${INPUTS}-256-256-10`,
    pool: 16_384,
    batch: 512,
    probes: 4,
    ...changes,
  };
  const trainer = await NoiseStepTrainer.create(config, data, backend);
  for (let i = 0; i < 3; i++) await trainer.next();
  const times = [];
  for (const begun = performance.now(); performance.now() - begun < SECONDS * 1000 || times.length < 5;) {
    const before = performance.now();
    await trainer.next();
    times.push(performance.now() - before);
  }
  const { weights, latents, batch, work } = trainer.placed.memory;
  await backend.close();
  // The least: others on the machine only slow it down.
  return { ms: Math.min(...times), bytes: weights + latents + batch + work };
}

const hidden = (width, depth = 2) => ({ model: [INPUTS, ...Array(depth).fill(width), 10].join('-') });
const cores = availableParallelism();
const AXES = [
  {
    axis: 'width',
    of: 'nodes, hidden layers of W × W',
    values: [64, 128, 256, 512, 1024],
    change: (width) => hidden(width),
    expected: 'between 1 and 2: weights grow with W²',
  },
  {
    axis: 'depth',
    of: 'nodes, layers of 256',
    values: [1, 2, 4, 8],
    change: (depth) => hidden(256, depth),
    expected: 'up to 2: each layer’s probes go through the layers above it',
  },
  {
    axis: 'batch',
    of: 'nodes',
    values: [128, 256, 512, 1024, 2048, 4096],
    change: (batch) => ({ batch }),
    expected: 'at most 1; pool and optimizer do not grow',
  },
  {
    axis: 'pool',
    of: 'nodes, directions of the pool',
    values: [1024, 4096, 16_384, 65_536],
    change: (pool) => ({ pool }),
    expected: 'nearly 0: only the optimizer grows',
  },
  {
    axis: 'probes',
    of: 'nodes',
    values: [1, 2, 4, 8, 16],
    change: (probes) => ({ probes }),
    expected: 'at most 1',
  },
  {
    axis: 'directions',
    of: 'weights, a log, one nonzero a direction',
    values: [16, 32, 64, 128, 256],
    change: (directions) => ({
      perturb: 'weights',
      artifact: 'log',
      directions,
      nonzeros: [1],
      nonzerosBelow: [],
    }),
    expected: 'at most 1',
  },
];

const results = { ...circumstances(), axes: [], threads: [], weights: [] };
for (const { axis, of, values, change, expected } of AXES) {
  const points = [];
  for (const value of values) points.push({ value, ...(await stepOf(change(value))) });
  results.axes.push({
    axis,
    of,
    expected,
    points,
    exponent: slope(points.map(({ value, ms }) => [value, ms])),
  });
  process.stderr.write(`${axis}\n`);
}
for (let threads = 1; threads <= cores; threads *= 2)
  results.threads.push({ threads, ...(await stepOf({ batch: 2048 }, threads)) });
for (const width of [320, 1000, 2000]) {
  for (const depth of width < 2000 ? [1, 4] : [2, 8, 25]) {
    if (width * width * depth > 1.3e8) continue;
    results.weights.push(await large(width, depth));
    process.stderr.write(`${results.weights.at(-1).parameters} weights\n`);
  }
}
results.weights.sort((a, b) => a.parameters - b.parameters);
results.weightsExponent = slope(results.weights.map(({ parameters, forwardMs }) => [parameters, forwardMs]));
writeReport('scaling', results, page());
writeFileSync(join(root, 'bench/results/scaling.svg'), picture());

/** A forward pass of 64 examples and a step of a log over a model of many weights. */
async function large(width, depth) {
  const batch = 64;
  const backend = await openWasm({ threads: 1 });
  const network = networkOf([width, ...Array(depth).fill(width), 10], {
    centred: true,
    gain: 25,
    logitScale: 10,
  });
  const placed = await backend.place(network, { batch });
  await placed.initLatents([1, 2], 0);
  placed.load({ inputs: data.inputs.slice(0, batch * width), labels: new Uint8Array(batch), length: 1 });
  const timed = async (work) => {
    await work();
    const times = [];
    for (let run = 0; run < 3; run++) {
      const begun = performance.now();
      await work();
      times.push(performance.now() - begun);
    }
    return median(times);
  };
  const forwardMs = await timed(() => placed.evaluate());
  const size = network.parameters;
  let step = 0;
  const stepMs = await timed(async () => {
    step += 1;
    const set = directionSet({
      key: [1, 2],
      step,
      group: network.tensors.length,
      offset: 0,
      size,
      directions: 128,
      touched: 2048,
    });
    await placed.applyStep(set, new Int8Array(128).fill(1));
    await placed.evaluate(); // which applies it
  });
  const { weights, latents, batch: batchBytes, work } = placed.memory;
  await backend.close();
  return { parameters: size, forwardMs, stepMs, bytes: weights + latents + batchBytes + work };
}

/** Exponent of the power that fits best: least squares of logarithms. */
function slope(pairs) {
  const logs = pairs.map(([x, y]) => [Math.log(x), Math.log(y)]);
  const mean = (i) => logs.reduce((sum, pair) => sum + pair[i], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  return (
    logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) /
    logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
  );
}

function page() {
  const { date, commit, processor, cores: count, node, axes, threads, weights, weightsExponent } = results;
  const mebi = (bytes) => `${(bytes / 2 ** 20).toFixed(1)}`;
  return [
    '# How the cost of a step grows',
    `${date}, commit ${commit}, ${processor}, ${count} cores, Node ${node}. One thread unless said. Made by \`npm run bench:scaling\`.`,
    `Unless the axis says otherwise: ${INPUTS}-256-256-10, nodes, 4 probes, batch 512, pool of 16,384. Each figure is the least of a second of steps.`,
    ...axes.flatMap(({ axis, of, expected, points, exponent }) => [
      `## ${axis}: exponent ${exponent.toFixed(2)}`,
      `${of}; expected ${expected}.`,
      markdownTable(
        [axis, ...points.map(({ value }) => whole(value))],
        [
          ['ms a step', ...points.map(({ ms }) => ms.toFixed(2))],
          ['MiB', ...points.map(({ bytes }) => mebi(bytes))],
        ],
      ),
    ]),
    '## threads',
    'Batch 2,048.',
    markdownTable(
      ['threads', 'ms a step', 'speed', 'MiB'],
      threads.map(({ threads: n, ms, bytes }) => [
        n,
        ms.toFixed(2),
        `${(threads[0].ms / ms).toFixed(2)}×`,
        mebi(bytes),
      ]),
    ),
    `## weights: exponent ${weightsExponent.toFixed(2)}`,
    'A forward pass of 64 examples; the same with a log’s step of 2,048 moves before it; all memory on the device, of which latents and weights take a byte each, and the codes of the tables two thirds of one.',
    markdownTable(
      [
        'weights',
        'forward, ms',
        'µs for a million weights and example',
        'with a step, ms',
        'MiB',
        'bytes a weight',
      ],
      weights.map(({ parameters, forwardMs, stepMs, bytes }) => [
        ...[
          whole(parameters),
          forwardMs.toFixed(1),
          ((forwardMs * 1000 * 1e6) / parameters / 64).toFixed(1),
          stepMs.toFixed(1),
        ],
        ...[mebi(bytes), (bytes / parameters).toFixed(2)],
      ]),
    ),
  ].join('\n\n');
}

function picture() {
  return curves(
    'Milliseconds of a step, one thread',
    [
      ...results.axes.map(({ axis, points, exponent }) => ({
        title: `${axis}, exponent ${exponent.toFixed(2)}`,
        points: points.map(({ value, ms }) => ({ x: value, y: ms })),
      })),
    ],
    'ms',
  );
}
