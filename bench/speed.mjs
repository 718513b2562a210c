// npm run bench: speed on the CPU beside what one would use instead, in the same run on the same work, in turns:
// matrix products, forward passes, a step of each estimator and of the ste trainer, load time, size, start. About
// eight minutes on two quiet cores; `-- --rows product,forward,steps,ste,load,sizes` makes some rows anew and keeps
// the others.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadMnist } from '../dist/src/data/dataset.js';
import { bars } from './bars.mjs';
import {
  circumstances,
  markdownTable,
  median,
  peer,
  root,
  share,
  ternseed,
  whole,
  writeReport,
} from './report.mjs';
import { loadTimes, ourPasses } from './speed/forward.mjs';
import { installations, startTimes } from './speed/sizes.mjs';
import { AVX2, estimatorStep, python } from './speed/steps.mjs';

const ROWS = ['product', 'forward', 'steps', 'training', 'ste', 'load', 'sizes'];
const { values: options } = parseArgs({ options: { rows: { type: 'string', default: ROWS.join(',') } } });
const asked = options.rows.split(',').filter((row) => row !== ''); // none: the page alone
const unknown = asked.filter((row) => !ROWS.includes(row));
if (unknown.length > 0) throw new Error(`--rows expected ${ROWS.join(', ')}, got ${unknown.join(', ')}`);

/** [batch, inputs, units] of the layers of 784-256-256-256-10. */
const SHAPES = [
  [1024, 784, 256],
  [1024, 256, 256],
];
const WIDTHS = [784, 256, 256, 256, 10];
const BATCHES = [1, 64, 1024];
const ROUNDS = 3;
const SECONDS = 1;
const newerNode = join(root, 'test/newer-node/node_modules/.bin/node');

const file = join(root, 'bench/results/speed.json');
const results = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
const makers = {
  product: products,
  forward: passes,
  steps: estimators,
  training: runs,
  ste: steStep,
  load,
  sizes,
};
for (const row of asked) {
  process.stderr.write(`${row}\n`);
  results[row] = { ...circumstances(), ...(await makers[row]()) };
}
writeReport('speed', results, page());
writeFileSync(join(root, 'bench/results/speed.svg'), picture());
await import('./readme.mjs');

/** Runs a script of ours or of a peer that prints JSON on its last line. */
function script(path, input, node = process.execPath) {
  const output = execFileSync(node, [path, JSON.stringify(input)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(output.trim().split('\n').at(-1));
}

/** Takes turns, so that what else the machine does meets all alike; of each number what `pick` takes. */
function inTurns(contestants, pick = median) {
  const rounds = Array.from({ length: ROUNDS }, () => contestants.map((run) => run()));
  return contestants.map((_, i) =>
    merge(
      rounds.map((round) => round[i]),
      pick,
    ),
  );
}

/** Of numbers what `pick` takes, so of each element of lists and each property of objects; of anything else the first. */
function merge(samples, pick = median) {
  const [first] = samples;
  const inner = (key) =>
    merge(
      samples.map((sample) => sample[key]),
      pick,
    );
  if (typeof first === 'number') return pick(samples);
  if (Array.isArray(first)) return first.map((_, i) => inner(i));
  if (first === null || typeof first !== 'object') return first;
  return Object.fromEntries(Object.keys(first).map((key) => [key, inner(key)]));
}

/** Of rates: others on the machine only slow a core down. */
function best(values) {
  return Math.max(...values);
}

function products() {
  if (!existsSync(newerNode)) execFileSync('npm', ['ci', '--silent'], { cwd: join(root, 'test/newer-node') });
  const input = { shapes: SHAPES, seconds: SECONDS, threads: 1 };
  const script2 = (home, name, more = {}) =>
    [newerNode, process.execPath].map((node) => () => script(join(home, name), { ...input, ...more }, node));
  const [newer, older, blas, blas256, tf, tfOlder, jax, jaxOlder, onnx, tfCpu] = inTurns(
    [
      ...script2(join(root, 'bench/speed'), 'product.mjs'),
      () => python('product.py', input),
      () => python('product.py', input, AVX2),
      ...script2(peer('tfjs'), 'product.mjs', { backend: 'wasm' }),
      ...script2(peer('jax'), 'product.mjs'),
      () => script(join(peer('onnxruntime'), 'run.mjs'), input),
      () => script(join(peer('tfjs'), 'product.mjs'), { ...input, backend: 'cpu' }, newerNode),
    ],
    best,
  );
  const rows = [newer, older].flatMap(({ node, products: found }) => {
    const of = (relaxed, kernel) => found.filter((one) => one.relaxed === relaxed).map((one) => one[kernel]);
    return [
      { name: `ternseed, Node ${node}`, ours: true, rates: of(true, 'tables') },
      { name: `ternseed without relaxed SIMD, Node ${node}`, ours: true, rates: of(false, 'tables') },
      { name: `dot products with relaxed SIMD, Node ${node}`, rates: of(true, 'dots') },
      { name: `dot products without, Node ${node}`, rates: of(false, 'dots') },
    ];
  });
  return {
    shapes: SHAPES,
    ceilings: [newer, older].map(({ node, ceilings }) => ({ node, ...ceilings })),
    rows: [
      ...rows,
      ...(blas ? [{ name: `${blas.name} sgemm`, rates: blas.rates, key: 'blas' }] : []),
      ...(blas256 ? [{ name: `${blas256.name} sgemm, AVX2`, rates: blas256.rates, key: 'blas256' }] : []),
      { name: `${onnx.name}, int8 (u8 × i8)`, rates: onnx.int8 },
      { name: `${onnx.name}, float32`, rates: onnx.float },
      { name: `${tf.name}, Node ${newer.node}`, rates: tf.rates, key: 'tfjs' },
      { name: `${tfOlder.name}, Node ${older.node}`, rates: tfOlder.rates, key: 'tfjsOlder' },
      { name: `${jax.name}, Node ${newer.node}`, rates: jax.rates },
      { name: `${jaxOlder.name}, Node ${older.node}`, rates: jaxOlder.rates },
      { name: tfCpu.name, rates: tfCpu.rates },
    ],
  };
}

async function passes() {
  const input = { widths: WIDTHS, batches: BATCHES, seconds: SECONDS };
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    rounds.push([
      { name: 'ternseed, 1 thread', passes: await ourPasses(WIDTHS, BATCHES, 1, SECONDS) },
      { name: 'ternseed, 2 threads', passes: await ourPasses(WIDTHS, BATCHES, 2, SECONDS) },
      ...[1, 2].map((threads) => {
        const { name, passes: found } = script(join(peer('onnxruntime'), 'run.mjs'), { ...input, threads });
        return {
          name: `${name}, float32, no normalization, ${threads} thread${threads > 1 ? 's' : ''}`,
          passes: found,
        };
      }),
      {
        name: 'TensorFlow.js, wasm, float32 (has no threads in Node)',
        passes: BATCHES.map(
          (batch) => script(join(peer('tfjs'), 'forward.mjs'), [WIDTHS, batch, SECONDS]).passesPerSecond,
        ),
      },
    ]);
  }
  return { widths: WIDTHS, batches: BATCHES, rows: merge(rounds, best) };
}

async function estimators() {
  const { train } = await loadMnist();
  const settings = { rounds: ROUNDS, seconds: 4, threads: 2 };
  return {
    rows: [
      await estimatorStep('paper', train, { ...settings, warmUp: 100 }),
      await estimatorStep('default', train, { ...settings, warmUp: 300 }),
    ],
  };
}

/** Whole runs on MNIST as a user starts them. A run of 500 steps has its own schedule: it is the quickest way to 95%. */
function runs() {
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-speed-'));
  const run = (name, ...more) => {
    const { accuracy, steps, seconds } = ternseed(
      'train',
      'mnist',
      ...more,
      '--threads',
      '2',
      '--out',
      join(folder, `${name}.tern`),
    );
    return { name, accuracy, steps, seconds };
  };
  const rows = [
    run('default, 500 steps', '--steps', '500', '--target-accuracy', '0.95'),
    run('default', '--preset', 'default'),
    run('paper', '--preset', 'paper'),
  ];
  rmSync(folder, { recursive: true });
  return { rows };
}

function steStep() {
  const input = { widths: WIDTHS, batch: 128, seconds: 3 };
  const [ours, torch, plain] = inTurns([
    () => script(join(root, 'bench/ste-step.mjs'), input),
    () => python('step.py', { ...input, threads: 2 }),
    () => script(join(peer('tfjs'), 'plain-step.mjs'), { ...input, threads: 1 }),
  ]);
  return {
    rows: [
      { name: 'ternseed', ms: ours.stepMs },
      ...(torch ? [{ name: `${torch.name}, 2 threads`, ms: torch.stepMs }] : []),
      { name: 'TensorFlow.js, wasm, plain code', ms: plain.stepMs },
    ],
  };
}

function load() {
  return loadTimes('784-256-128-10', [49_152, 8192, 320], 20);
}

function sizes() {
  return { rows: installations(), start: startTimes(11) };
}

/** What was promised, and what came of it. */
function promises() {
  const { product, forward, steps, training, sizes: size } = results;
  const first = (name) => product.rows.find((row) => row.name.startsWith(name));
  const newer = first('ternseed,');
  const older = product.rows.filter(({ name }) => name.startsWith('ternseed,'))[1];
  const ratioTo = (key, mine = newer) => {
    const row = product.rows.find((one) => one.key === key);
    return row && Math.min(...mine.rates.map((rate, i) => rate / row.rates[i]));
  };
  const least = Math.min(...newer.rates);
  const threads = forward.rows[1].passes[2] / forward.rows[0].passes[2];
  const against = (preset, key = 'peer') => {
    const { ms, [key]: torch } = steps.rows.find((row) => row.preset === preset);
    return torch && torch.ms / ms;
  };
  const seconds = (name) => training.rows.find((row) => row.name === name).seconds;
  const judge = (what, value, must, aim, unit) => {
    if (value === undefined || value === null)
      return [what, `${must}${unit}`, `${aim}${unit}`, 'not measured'];
    const good = [' s', ' ms'].includes(unit) ? (limit) => value <= limit : (limit) => value >= limit;
    const verdict = good(aim) ? 'aim met' : good(must) ? 'met' : 'missed';
    return [
      what,
      `${must}${unit}`,
      `${aim}${unit}`,
      `${value.toFixed(value < 20 ? 2 : 0)}${unit}: ${verdict}`,
    ];
  };
  return [
    judge(
      'product, one core, relaxed SIMD, newer Node, least of the shapes',
      least / 1e9,
      100,
      100,
      ' GOP/s',
    ),
    judge(
      '… as a share of the multiply-add loop',
      (100 * least) / product.ceilings[0].relaxedMultiplyAdd,
      60,
      85,
      '%',
    ),
    judge('… against OpenBLAS sgemm, one core, AVX2', ratioTo('blas256'), 1.3, 2, '×'),
    judge('… the best kernels that the processor has', ratioTo('blas'), 1.3, 2, '×'),
    judge('… against TensorFlow.js wasm matMul, newer Node', ratioTo('tfjs'), 6, 10, '×'),
    judge('… against TensorFlow.js wasm matMul, Node 20', ratioTo('tfjsOlder', older), 6, 10, '×'),
    judge('two threads over one, forward passes', threads, 1.8, 1.95, '×'),
    judge('`paper` step against PyTorch, two cores, AVX2', against('paper', 'peerAvx2'), 10, 50, '×'),
    judge('… the best kernels that the processor has', against('paper'), 10, 50, '×'),
    judge(
      '`default` step (nodes) against PyTorch, two cores, AVX2',
      against('default', 'peerAvx2'),
      3,
      6,
      '×',
    ),
    judge('… the best kernels that the processor has', against('default'), 3, 6, '×'),
    judge('`default` to 95% on MNIST, two cores', seconds('default, 500 steps'), 45, 15, ' s'),
    judge('`paper` preset, whole run', seconds('paper'), 180, 30, ' s'),
    judge('`ternseed --help`', size.start.helpMs, 150, 80, ' ms'),
  ];
}

function page() {
  const { product, forward, steps, training, ste, load: loads, sizes: size } = results;
  const giga = (rate) => (rate / 1e9).toFixed(rate < 1e10 ? 1 : 0);
  const where = ({ date, commit, processor, cores, node }) =>
    `${date}, commit ${commit}, ${processor}, ${cores} cores, Node ${node}.`;
  const reference = product.rows[0].rates;
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return [
    '# Speed on the CPU, beside what one would use instead',
    'Made by `npm run bench`; [docs/performance.md](../../docs/performance.md) says what bounds it.',
    markdownTable(['promised', 'must', 'aim', ''], promises()),
    '## Matrix product, one core, GOP/s',
    where(product),
    markdownTable(
      ['', ...SHAPES.map((shape) => shape.join(' × ')), 'ternseed is'],
      product.rows.map(({ name, rates, ours }) => [
        ...[ours ? `**${name}**` : name, ...rates.map(giga)],
        rates === reference ? '' : `${Math.min(...reference.map((rate, i) => rate / rates[i])).toFixed(1)}×`,
      ]),
    ),
    `Activations of 7 bits by trits, exact; the peers multiply float32 or bytes. An operation is a multiplication or an addition, as if each trit were multiplied. The best of 25 rounds in each of ${ROUNDS} turns. Ceilings in wasm: ` +
      product.ceilings
        .map(
          ({ node, relaxedMultiplyAdd, multiplyAdd, loadAdd, readBytes }) =>
            `Node ${node}: multiply-add loop ${relaxedMultiplyAdd ? `${giga(relaxedMultiplyAdd)} with relaxed SIMD, ` : ''}${giga(multiplyAdd)} without; load-add loop ${giga(loadAdd)}; ${giga(readBytes)} GB/s read`,
        )
        .join('. ') +
      '.',
    '## Forward passes a second, 784-256-256-256-10',
    where(forward),
    markdownTable(
      ['', ...BATCHES.map((batch) => `batch ${batch}`), 'one example'],
      forward.rows.map(({ name, passes: found }) => [
        name,
        ...found.map(whole),
        `${(1e6 / found[0]).toFixed(0)} µs`,
      ]),
    ),
    '## One step of an estimator, batch 1024, two threads',
    where(steps),
    markdownTable(
      ['preset', 'estimator', 'ternseed', 'peer', '', 'ratio', 'loss of the same batch, ternseed / PyTorch'],
      steps.rows.flatMap(({ preset, estimator, ms, peer: torch, peerAvx2, loss }) =>
        [torch, peerAvx2]
          .filter((one) => one)
          .map((one) => [
            ...[
              preset,
              estimator,
              `${ms.toFixed(1)} ms`,
              one === peerAvx2 ? `${one.name}, AVX2` : one.name,
              `${one.ms.toFixed(0)} ms`,
            ],
            ...[`${(one.ms / ms).toFixed(1)}×`, `${loss.toFixed(4)} / ${one.loss.toFixed(4)}`],
          ]),
      ),
    ),
    '## Training on MNIST, noise-step, two threads',
    where(training),
    markdownTable(
      ['', 'steps', 'test accuracy', 'seconds'],
      training.rows.map(({ name, steps: count, accuracy, seconds }) => [
        name,
        whole(count),
        share(accuracy),
        seconds.toFixed(1),
      ]),
    ),
    '## One step of ste, batch 128',
    where(ste),
    markdownTable(
      ['', 'ms a step', ''],
      ste.rows.map(({ name, ms }) => [name, ms.toFixed(2), `${(ms / ste.rows[0].ms).toFixed(2)}×`]),
    ),
    '## From bytes to the first answer, 784-256-128-10, one thread',
    where(loads),
    markdownTable(
      ['', 'bytes', 'median', 'first'],
      ['pool', 'packed'].map((kind) => [
        kind,
        whole(loads[kind].bytes),
        `${loads[kind].ms.toFixed(1)} ms`,
        `${loads[kind].firstMs.toFixed(1)} ms`,
      ]),
    ),
    '## To have it',
    where(size),
    markdownTable(
      ['', 'installed', 'installing, warm cache'],
      size.rows.map(({ name, bytes, seconds }) => [name, mib(bytes), `${seconds.toFixed(1)} s`]),
    ),
    `\`ternseed --help\` takes ${size.start.helpMs.toFixed(0)} ms, of which Node itself ${size.start.nodeMs.toFixed(0)}.`,
  ].join('\n\n');
}

/** Products of the first shape as bars. */
function picture() {
  return bars(
    `Product of 1024 × 784 activations and 784 × 256 trits, one core, billion operations a second`,
    results.product.rows.map(({ name, rates, ours }) => ({ name, value: rates[0] / 1e9, ours })),
  );
}
