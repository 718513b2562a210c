// Makes the test vectors of the format: small artifacts of every kind, coding and precision, and what is to be
// read from them. `node scripts/make-vectors.mjs` writes test/vectors/v2 by the code in dist/.
// test/vectors/v1 was written by the same script, given the dist/ of 0.1.0's code after layers of four and eight
// bits came (commit 173d0e6): `node scripts/make-vectors.mjs PATH/TO/dist test/vectors/v1`; what that code does not have
// is left out. Version 1 is no longer written, so those files are not to be made again.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = resolve(process.argv[2] ?? join(root, 'dist'));
const out = resolve(process.argv[3] ?? join(root, 'test/vectors/v2'));
const load = (path) => import(pathToFileURL(join(dist, 'src', path)).href);

const { networkOf, NoiseStepTrainer, openArtifact, PRESETS, ReferenceBackend, weightsHash } =
  await load('index.js');
const { encodePacked, encodeSeedLog, encodeSeedPool } = await load('artifact/artifact.js');
const { encodeSection, preamble, readSections, SectionType, VERSION } = await load('artifact/container.js');
const { openingOfLog } = await load('artifact/unfinished-log.js');
const { encodeLogBlock } = await load('artifact/seed-log.js');
const { encodeHeader, formatKey, parseKey } = await load('artifact/header.js');
const { philox } = await load('random/philox.js');

mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) rmSync(join(out, name));

/** Longer lists of weights are left to the hash. */
const LISTED_MAX = 2000;

const base = {
  ...PRESETS.default,
  ...{ model: '49-10-4', centred: true, gain: 25, logitScale: 480, seed: 'vector', steps: 20, batch: 32 },
  ...{ directions: 16, nonzeros: [8, 2], nonzerosBelow: [1.38], keep: 0.5, cut: 0 },
  ...{
    pool: 150,
    learningRate: 0.3,
    hold: 0.5,
    beta1: 0.9,
    beta2: 0.99,
    probes: 2,
    sigma: 51,
    rewardShift: 5,
  },
};
/** The keys that 0.1 made of the vectors' seeds: node -e "r = require('seedrandom')('vector'); …r.int32() >>> 0…" */
const KEYS = {
  vector: [4_187_152_530, 1_962_537_990],
  delta: [2_696_205_841, 1_932_008_519],
  chain: [3_110_901_146, 1_175_082_375],
};
const data = images(96);
const vectors = [];

for (const perturb of ['weights', 'nodes']) {
  for (const cut of [0, 1]) {
    const run = await train({ ...base, perturb, cut, artifact: 'log' });
    const log = (steps, outcome) => encodeSeedLog(run.header, steps, outcome);
    await write(`log-${perturb}-cut${cut}`, log(run.steps, await run.outcome()));
    if (perturb === 'weights' && cut === 0) {
      const header = VERSION < 2 ? [] : [run.header];
      const blocks = run.steps.map((step, i) => encodeLogBlock(...header, i + 1, [step]));
      writeFileSync(join(out, 'unfinished-log.tern'), Buffer.concat([openingOfLog(run.header), ...blocks]));
    }
    if (VERSION < 2 || perturb === 'nodes' || cut === 1) continue;
    // Steps 4…9 left out, 11…13 twice: what they come to is for the reader under test to say, and no other
    // way to rebuild exists, so the hash is that of the reference backend.
    const kept = run.steps.filter(({ seedStep }) => seedStep < 4 || seedStep > 9);
    const edited = [...kept.slice(0, 7), ...run.steps.slice(10, 13), ...kept.slice(7)];
    const trits = await replayed(run, edited);
    await write('log-edited', log(edited, { steps: edited.length, weightsHash: await weightsHash(trits) }));
  }
}
for (const cut of [0, 1, 42]) {
  const run = await train({ ...base, perturb: 'nodes', cut, artifact: 'pool', steps: 60 });
  await write(
    `pool-cut${cut}`,
    encodeSeedPool(run.header, await run.trainer.poolCoefficients(), await run.outcome()),
  );
}
{
  const run = await train({ ...base, perturb: 'nodes', artifact: 'pool', train: 'head', pool: 20 });
  await write(
    'pool-head',
    encodeSeedPool(run.header, await run.trainer.poolCoefficients(), await run.outcome()),
  );
}
if (VERSION >= 2) {
  // Coefficients that move the halves of all rows apart, as far as their directions can: for the prediction.
  const { poolSets, Signs, weightsOfDirection } = await load('random/directions.js');
  const config = { ...base, model: '100-12-4', artifact: 'pool' };
  const header = headerOf(config, 'fedcba9876543210', [400, 20]);
  const network = networkOf([100, 12, 4], base);
  const sets = poolSets(network.tensors, parseKey(header.key), header.directions);
  const coefficients = Int16Array.from(
    sets.flatMap((set) => {
      const { columns } = network.tensors[set.group];
      const signs = new Signs(set);
      return Array.from({ length: set.directions }, (_, k) => {
        const up = weightsOfDirection(set, k).map(
          (index) => signs.at(index) * (index % columns < columns / 2 ? 1 : -1),
        );
        return Math.max(
          -2,
          Math.min(
            2,
            up.reduce((sum, one) => sum + one, 0),
          ),
        );
      });
    }),
  );
  const placed = await new ReferenceBackend().place(network, { batch: 1 });
  await placed.initLatents(parseKey(header.key), header.cut);
  await placed.applyPool(sets, coefficients);
  const outcome = { steps: 1, weightsHash: await weightsHash(await placed.readWeights()) };
  await write('pool-by-moves', encodeSeedPool(header, coefficients, outcome));
}
if (VERSION >= 2) {
  // Deltas on pool-cut1, the last of them on a delta.
  const { differences } = await load('artifact/delta.js');
  const on = async (name) => {
    const artifact = openArtifact(readFileSync(join(out, `${name}.tern`)));
    const { rebuildVerified } = await load('artifact/rebuild.js');
    const under = artifact.header.base ? (await on('pool-cut1')).weights : undefined;
    const weights = await rebuildVerified(artifact, new ReferenceBackend(), under);
    return { weights, header: { name: `${name}.tern`, hash: artifact.weightsHash } };
  };
  const root = await on('pool-cut1');
  const more = { ...base, perturb: 'nodes', cut: 1, seed: 'delta', learningRate: 1 };
  const pool = await train({ ...more, artifact: 'pool' }, root);
  await write(
    'delta-pool',
    encodeSeedPool(pool.header, await pool.trainer.poolCoefficients(), await pool.outcome()),
    root,
  );
  const log = await train({ ...more, artifact: 'log' }, root);
  await write('delta-log', encodeSeedLog(log.header, log.steps, await log.outcome()), root);
  const chained = await on('delta-pool');
  const packed = await train({ ...more, seed: 'chain', artifact: 'packed' }, chained);
  const weights = await packed.trainer.placed.readWeights();
  const changes = differences(packed.trainer.graph, chained.weights, weights);
  await write('delta-packed', encodePacked(packed.header, changes, await packed.outcome()), chained);
}
const precisions = [
  ['ternary', 'ternary'],
  ['int4', 'int4'],
  ['int8', 'int8'],
  ['ternary-row', 'ternary-row'],
  ['int4-row', 'int4-row'],
  ['int8-row', 'int8-row'],
  ['ternary', 'int8-row'],
];
for (const precision of precisions) {
  const { header, weights, outcome } = await packedOf(precision);
  await write(`packed-${[...new Set(precision)].join('-and-')}`, encodePacked(header, weights, outcome));
}
if (VERSION >= 2) {
  // A header that says how inputs are scaled, and raw values with what they come to: below, at, between and above.
  const { inputsOf, scaleInputs } = await load('artifact/inputs.js');
  const { header, weights, outcome } = await packedOf(['ternary', 'ternary']);
  const said = { low: -1.5, high: 2.25, inverted: true, image: [7, 7, 1], labels: [-3, 1, 7, 200] };
  const inputs = inputsOf({ inputs: said });
  const raw = [-1e9, -1.5, -1.4707, -1.4708, -1, 0, 0.375, 1, 2.2206, 2.2208, 2.25, 1e300];
  const scaled = raw.map((value, i) => [value, scaleInputs(raw, inputs)[i]]);
  await write('packed-inputs', encodePacked({ ...header, inputs: said }, weights, outcome), undefined, {
    scaled,
  });
}
if (VERSION >= 2) {
  const { TensorCoding } = await load('artifact/tensor-coder.js');
  const { header, network, weights, outcome } = await packedOf(['ternary', 'ternary']);
  for (const [name, coding] of Object.entries(TensorCoding)) {
    await write(`packed-by-${name}`, await assembled(header, network, weights, outcome, coding));
  }
}
if (VERSION >= 2) {
  // Enough weights, and columns different enough, for several classes of columns.
  const { TensorCoding } = await load('artifact/tensor-coder.js');
  const header = headerOf({ ...base, model: '100-150-4', artifact: 'packed' }, '0123456789abcdef', []);
  const network = networkOf([100, 150, 4], base);
  const weights = Int8Array.from({ length: network.parameters }, (_, i) => {
    if (i % 2 === 0) return i % 1998 === 0 ? 1 : 0;
    return (draw(i, 3) % 3) - 1;
  });
  const outcome = { steps: 1, weightsHash: await weightsHash(weights) };
  await write(
    'packed-by-classes',
    await assembled(header, network, weights, outcome, TensorCoding.interleaved),
  );
}
if (VERSION >= 2) {
  const { transformerOf } = await load('ternary/builders/transformer.js');
  const { VALUE_RANGES } = await load('ternary/precision.js');
  const common = { blocks: 2, width: 16, heads: 4, hidden: 24, context: 8, loopTo: 2 };
  const shapes = {
    transformer: { ...common, keyHeads: 4, loopFrom: 0, loops: 1, tied: false, embedding: 'int8' },
    'transformer-tied': { ...common, keyHeads: 2, loopFrom: 1, loops: 3, tied: true, embedding: 'ternary' },
  };
  for (const [name, model] of Object.entries(shapes)) {
    const { tensors, parameters } = transformerOf(model);
    const weights = new Int8Array(parameters);
    for (const { values, offset, rows, columns } of tensors) {
      const [least, largest] = VALUE_RANGES[values];
      for (let i = 0; i < rows * columns; i++) {
        weights[offset + i] = least + (draw(i, offset) % (largest - least + 1));
      }
    }
    const header = {
      kind: 'packed',
      model,
      key: '0123456789abcdef',
      cut: 0,
      directions: [],
      config: {},
      data,
    };
    const outcome = { steps: 1, weightsHash: await weightsHash(weights, tensors) };
    await write(name, encodePacked({ ...header, data: { name: 'none', hash: '' } }, weights, outcome));
  }
}
writeFileSync(join(out, 'vectors.json'), `[\n${vectors.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`);
process.stdout.write(`${vectors.length} vectors in ${out}\n`);

/** Opens what was written, rebuilds it on the reference backend, and takes down what it should hold. */
async function write(name, bytes, under, more = {}) {
  const artifact = openArtifact(bytes);
  const { rebuildVerified } = await load('artifact/rebuild.js');
  const weights = await rebuildVerified(artifact, new ReferenceBackend(), under?.weights);
  const { kind, version, steps, weightsHash: hash, header } = artifact;
  vectors.push({
    ...{ file: `${name}.tern`, version, kind, model: header.model },
    ...(artifact.network.precision && { precision: artifact.network.precision }),
    ...{ steps, weightsHash: hash },
    ...(under && { base: under.header.name }),
    ...(kind === 'pool' ? { coefficients: [...artifact.coefficients] } : {}),
    ...(weights.length <= LISTED_MAX ? { weights: [...weights] } : {}),
    ...more,
  });
  writeFileSync(join(out, `${name}.tern`), bytes);
}

async function train(config, under) {
  const backend = new ReferenceBackend();
  const trainer = await NoiseStepTrainer.create(config, data, backend, {
    base: under?.weights,
    key: KEYS[config.seed],
  });
  const steps = [];
  while (trainer.step < config.steps) {
    const { step, log, lossUnits } = await trainer.next();
    if (log) steps.push({ ...log, seedStep: step, loss: Math.round(lossUnits / 1024) });
  }
  const trits = await trainer.placed.readWeights();
  return {
    ...{ trainer, steps },
    header: {
      ...headerOf(config, formatKey(trainer.key), config.artifact === 'packed' ? [] : trainer.counts),
      ...(under && { base: under.header }),
    },
    outcome: async () => ({ steps: config.steps, weightsHash: await weightsHash(trits) }),
  };
}

/** The weights after some steps of a run, each with the directions of its seed step. */
async function replayed({ trainer, header }, steps) {
  const { logSets } = await load('random/directions.js');
  const { graph: network } = trainer;
  const placed = await new ReferenceBackend().place(network, { batch: 1 });
  await placed.initLatents(trainer.key, header.cut);
  for (const { seedStep, nonzeros, coefficients } of steps) {
    let first = 0;
    for (const set of logSets(network.tensors, trainer.key, seedStep, header.directions, nonzeros)) {
      await placed.applyStep(set, coefficients.subarray(first, first + set.directions));
      first += set.directions;
    }
  }
  return placed.readWeights();
}

/** Weights of any precision, smooth along the rows, with both ends of their range among them. */
async function packedOf(precision) {
  const header = headerOf({ ...base, artifact: 'packed' }, '0123456789abcdef', []);
  const mixed = precision.some((one) => one !== 'ternary') ? { ...header, precision } : header;
  const network = networkOf([49, 10, 4], { ...base, precision });
  const ends = { trit: 1, int4: 7, int8: 127 };
  const weights = new Int8Array(network.parameters);
  for (const { values, offset, rows, columns } of network.tensors) {
    for (let i = 0; i < rows * columns; i++) {
      const wave = Math.abs((((i % columns) * 5 + Math.floor(i / columns) * 11) % 40) - 20) / 10 - 1; // −1…1
      weights[offset + i] = values === 'scale' ? 1 + ((i * 41) % 127) : Math.round(wave * ends[values]);
    }
  }
  const outcome = { steps: 7, weightsHash: await weightsHash(weights, network.tensors) };
  return { header: mixed, network, weights, outcome };
}

/** A packed artifact whose tensors are all in one coding, whether the writer would take it or not. */
async function assembled(header, network, weights, outcome, coding) {
  const { encodeTensorAs } = await load('artifact/tensor-coder.js');
  const sections = network.tensors.map((tensor) => {
    const { offset, rows, columns } = tensor;
    const values = weights.subarray(offset, offset + rows * columns);
    return encodeSection(SectionType.trits, encodeTensorAs(coding, tensor, values));
  });
  const whole = encodePacked(header, weights, outcome);
  const end = whole.subarray(readSections(whole).at(-1).offset);
  const opening = encodeSection(
    SectionType.header,
    encodeHeader({ ...header, kind: 'packed', directions: [] }),
  );
  return new Uint8Array(Buffer.concat([preamble(), opening, ...sections, end]));
}

function headerOf(config, key, directions) {
  const { model, centred, gain, logitScale, artifact, cut } = config;
  const common = { kind: artifact, model, centred, gain, logitScale, key, cut, directions };
  return { ...common, config: { seed: config.seed }, data: { name: 'vectors', hash: '0'.repeat(64) } };
}

/** Seven by seven pixels in four clusters, by Philox under a key of their own. */
function images(count) {
  const inputs = new Uint8Array(count * 49);
  for (let i = 0; i < inputs.length; i++) {
    const centre = draw((Math.floor(i / 49) % 4) * 49 + (i % 49), 1);
    inputs[i] = Math.max(0, Math.min(127, Math.floor(centre / 2 + (draw(i, 2) - 128) / 4)));
  }
  return {
    inputs,
    labels: Uint8Array.from({ length: count }, (_, i) => i % 4),
    count,
    width: 49,
    image: { rows: 7, columns: 7, channels: 1, planar: false },
  };
}

/** A byte by Philox. */
function draw(i, stream) {
  const words = new Uint32Array(4);
  philox([7, 7], i, 0, 0, stream, words);
  return words[0] >>> 24;
}
