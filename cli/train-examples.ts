/** `ternseed train mnist | idx`: labelled examples to train on, and what is said of a classifier. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import type { ImageShape } from '../src/artifact/inputs.js';
import { packWeights } from '../src/artifact/weights-hash.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import { checkSteConfig, type SteConfig } from '../src/backprop/config.js';
import { type Dataset, type Examples, loadIdxDirectory, loadMnist } from '../src/data/dataset.js';
import { imageOfShape } from '../src/data/examples.js';
import { ConfigError, expected, printable, TargetError } from '../src/errors.js';
import { checkConfig, type NoiseStepConfig } from '../src/perturb/config.js';
import { withoutVainShift } from '../src/train/training.js';
import { rebuildOnBase } from './bases.js';
import { costLines, costsOf } from './convert.js';
import { EXAMPLE_SETTINGS, parseNumber } from './config-options.js';
import { asPath, readingOf, withNotes } from './data.js';
import { readBytes } from './files.js';
import { ofExamples } from './noise-step.js';
import { count, duration, note, percent, printResult, shellWord, shown, table } from './output.js';
import { splitTraining } from './subject.js';
import { isWorseThanUniform } from './score.js';
import { train, type Trained, type TrainOptions, type TrainSource } from './train.js';

export interface TrainExamplesOptions extends TrainOptions {
  readonly data?: string;
  readonly image?: string;
  readonly targetAccuracy?: string;
}

/** Trains on MNIST, or on a folder of four IDX files. `options` also holds the settings, as text. */
export async function trainExamples(name: 'mnist' | 'idx', options: TrainExamplesOptions): Promise<void> {
  const target = readTarget(options);
  const image = readImage(options);
  const source: TrainSource<Dataset, Examples, NoiseStepConfig, SteConfig> = {
    name,
    words: name === 'mnist' ? [name] : [name, '--data', `${options.data}`],
    settings: EXAMPLE_SETTINGS,
    presetOf: () => 'default',
    files: await filesOf(options.data),
    budgetBytes: Number.POSITIVE_INFINITY,
    settingsOfBase({ network: { rows, name: base, description } }) {
      if (rows === 'examples') return description;
      throw new ConfigError(`"--base" expected a model of examples, got ${base}`);
    },
    async load(model) {
      const reading = { ...(model && readingOf(model)), ...(image && { image }) };
      return withNotes(
        name === 'mnist' ? await loadMnist(reading) : await loadIdxDirectory(requireFolder(options), reading),
      );
    },
    fitted,
    checks: { noiseStep: checkConfig, ste: checkSteConfig },
    noiseStep: ofExamples,
    ste: async (...place) => (await import('./ste.js')).ofExamples(...place),
    productsOf: roughProducts,
    report: (trained) => report(trained, options, target),
  };
  await train(source, options);
}

/** Of a folder, the files by the names that data have: an artifact may be beside them. */
async function filesOf(folder: string | undefined): Promise<string[]> {
  if (folder === undefined) return [];
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /images|labels|idx|ubyte/i.test(name)).map((name) => join(folder, name));
}

/** How many products of a weight and an activation a run takes, roughly; NaN where its settings are damaged. */
function roughProducts(config: Readonly<Record<string, unknown>>): number {
  const { model, steps, batch, perturb, probes, directions } = config as unknown as NoiseStepConfig;
  const widths = String(model).split('-').map(Number);
  const weights = widths.slice(1).reduce((sum, width, layer) => sum + width * widths[layer], 0);
  return steps * batch * weights * (perturb === 'nodes' ? probes : 2 * directions);
}

function fitted<Config extends { readonly shift: number }>(
  config: Config,
  { train }: Dataset,
  said: ReadonlySet<string>,
): Config {
  const changed = said.has('shift') ? config : withoutVainShift(config, train);
  if (changed !== config) {
    note(`the examples are no images that could be shifted by ${config.shift}: "shift" is 0`);
  }
  return changed;
}

/** `28x28`, `8x8x3`, `3x8x8`: what the examples are where their files do not say it. */
function readImage({ image, resume }: TrainExamplesOptions): ImageShape | null {
  if (image === undefined) return null;
  if (resume !== undefined) {
    throw new ConfigError('"--image" is fixed in the run that "--resume" continues: leave it out');
  }
  const shape = /^\d{1,7}(x\d{1,7}){1,2}$/.test(image) ? imageOfShape(image.split('x').map(Number)) : null;
  if (shape) return shape;
  throw expected(
    '--image',
    'rows and columns, such as 28x28, and one to four channels before or after them',
    image,
  );
}

/** Opens what was written, evaluates what it rebuilds to, and prints it. */
async function report(
  { run, figures, data: dataset, out, backend, forms, remarks }: Trained<Dataset, Examples>,
  options: TrainExamplesOptions,
  target: number | null,
): Promise<void> {
  const { seconds, forwardPasses, artifact: bytes } = figures;
  const artifact = openArtifact(bytes ?? (await readBytes(run.out)));
  const { heldOut } = splitTraining(dataset.train, (run.config as NoiseStepConfig).holdout);
  const placed = await backend.place(artifact.network, { batch: 1000 });
  const weights = await rebuildOnBase(artifact, run.out, options, backend);
  await placed.writeWeights(weights);
  const scored = heldOut ?? dataset.test;
  const { accuracy, loss, examples } = await shown('evaluating', 'examples', (watch) =>
    evaluateExamples(placed, scored, watch),
  );
  const extras = await shown('the trainer evaluates', 'examples', (watch) => run.extras(scored, watch));
  const worseThanUniform = isWorseThanUniform({ accuracy, loss }, scored.labels);
  const { parameters } = artifact.network;
  const packedBytes = packWeights(weights, artifact.network.tensors).length;
  const floatBytes = 4 * parameters;
  const result = {
    ...{ artifact: out.name, kind: artifact.kind, bytes: artifact.bytes, accuracy, loss, examples },
    worseThanUniform,
    ...{ split: heldOut ? 'held out' : 'test', steps: artifact.steps, seconds, forwardPasses },
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    ...{ seed: run.config.seed, backend: run.backend.name, weightsHash: artifact.weightsHash },
    ...{ model: artifact.header.model, parameters, packedBytes, floatBytes },
    ...(forms.length > 0 && { forms: costsOf(forms) }),
    ...extras.json,
  };
  const again = options.data === undefined ? dataset.name : asPath(options.data);
  const lines = [
    `${printable(out.name)}: ${describe(artifact)}, ${count(artifact.steps)} steps in ${duration(seconds)}`,
    ...table([
      [`${result.split} accuracy`, `${percent(accuracy)} of ${count(examples)}, from the file as rebuilt`],
      ...extras.rows,
      ['artifact', `${count(artifact.bytes)} bytes`],
      ...costLines(forms).map(([kind, cost]): [string, string] => [`  as ${kind}`, cost]),
      [
        'packed, five trits a byte',
        `${count(packedBytes)} bytes (${(packedBytes / artifact.bytes).toFixed(1)}×)`,
      ],
      ['float32', `${count(floatBytes)} bytes (${(floatBytes / artifact.bytes).toFixed(1)}×)`],
      ['forward passes', count(forwardPasses)],
      ['weights hash', artifact.weightsHash],
    ]),
    ...(out.path === null
      ? []
      : [`next: ternseed eval ${printable(shellWord(out.name))} --data ${printable(shellWord(again))}`]),
  ];
  printResult(options.json, result, lines, remarks);
  if (target !== null && accuracy < target) {
    throw new TargetError(
      `"--target-accuracy" expected at least ${percent(target)}, got ${percent(accuracy)}`,
    );
  }
}

function describe(artifact: Artifact): string {
  return { log: 'seed log', pool: 'seed pool', packed: 'packed trits' }[artifact.kind];
}

function readTarget({ targetAccuracy }: TrainExamplesOptions): number | null {
  if (targetAccuracy === undefined) return null;
  const target = parseNumber('--target-accuracy', targetAccuracy);
  if (!(target >= 0 && target <= 1)) throw expected('--target-accuracy', 'a share in 0…1', targetAccuracy);
  return target;
}

function requireFolder({ data }: TrainExamplesOptions): string {
  if (data === undefined)
    throw new ConfigError('"train idx" expected "--data DIR", a folder of four IDX files');
  return data;
}
