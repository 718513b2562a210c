/** `ternseed train mnist | idx`: trains, writes the artifact, and says what came out. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import { type Artifact, openArtifact, perceptronArtifact } from '../src/artifact/artifact.js';
import { type Form, formsOf, smallestOf } from '../src/artifact/compact.js';
import type { Header } from '../src/artifact/header.js';
import type { ImageShape } from '../src/artifact/inputs.js';
import { packWeights } from '../src/artifact/weights-hash.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import type { Backend } from '../src/backend/backend.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import { BACKEND_NAMES, type BackendChoice, openBackend } from '../src/backend/open.js';
import { checkSteConfig, type SteConfig } from '../src/backprop/config.js';
import { openTensorflow, TENSORFLOW_BACKENDS, type TensorflowChoice } from '../src/backprop/tensorflow.js';
import { shiftLimit } from '../src/data/batches.js';
import { type Dataset, loadIdxDirectory, loadMnist } from '../src/data/dataset.js';
import { imageOfShape } from '../src/data/examples.js';
import { ConfigError, expected, printable, TargetError } from '../src/errors.js';
import { isTernary } from '../src/ternary/network.js';
import { checkConfig, type NoiseStepConfig } from '../src/perturb/config.js';
import { type BaseOptions, baseOf, rebuildOnBase } from './bases.js';
import { costLines, costsOf } from './convert.js';
import {
  EXAMPLE_SETTINGS,
  namesOfSettings,
  parseNumber,
  type Resolved,
  resolveConfig,
} from './config-options.js';
import { asPath, readingOf, withNotes } from './data.js';
import { Destination } from './destination.js';
import { inputName, readBytes, readPathOrUrl } from './files.js';
import { Metrics } from './metrics.js';
import { NoiseStepRun, type TrainedBase } from './noise-step-run.js';
import { count, duration, note, Progress, percent, printResult, shellWord, shown, table } from './output.js';
import {
  METHODS,
  type Method,
  requireFree,
  type Run,
  splitTraining,
  unfinishedHeader,
  unfinishedOf,
} from './run.js';
import { isWorseThanUniform } from './score.js';
import { type Figures, readStepLimits, runSteps } from './steps.js';

export interface TrainOptions extends BaseOptions {
  readonly method?: string;
  readonly data?: string;
  readonly image?: string;
  readonly out?: string;
  readonly force: boolean;
  readonly resume?: string;
  readonly backend: string;
  readonly threads?: number;
  readonly minutes?: string;
  readonly metrics?: string;
  readonly saveEvery?: string;
  readonly targetAccuracy?: string;
  readonly json: boolean;
}

/** Trains. `options` also holds the settings, as text. */
export async function train(source: 'mnist' | 'idx', options: TrainOptions): Promise<void> {
  if (options.resume !== undefined && options.out !== undefined) {
    throw new ConfigError('"--resume" goes on with the file it names: leave "--out" out');
  }
  const limits = readStepLimits(options);
  const target = readTarget(options);
  const given = options as unknown as Record<string, string | undefined>;
  const smallest = given.artifact === 'auto';
  const settings = smallest ? { ...given, artifact: undefined } : given;
  const fixed = namesOfSettings(EXAMPLE_SETTINGS, settings);
  if (options.resume !== undefined && fixed.length > 0) {
    throw new ConfigError(`"--${fixed[0]}" is fixed in the run that "--resume" goes on with: leave it away`);
  }
  const inputs = await inputsOf(options);
  const { out, metrics } = destinationsOf(options, source, inputs);
  const home = out.workplace(`${source}.tern`);
  const method = await methodOf(options, home);
  const defaults = await defaultsOfBase(options, method);
  const resolved =
    options.resume === undefined ? await resolveConfig(EXAMPLE_SETTINGS, method, settings, defaults) : null;
  const image = readImage(options);
  const load = async (model: Header | null) => {
    const reading = { ...(model && readingOf(model)), ...(image && { image }) };
    return withNotes(
      source === 'mnist' ? await loadMnist(reading) : await loadIdxDirectory(requireFolder(options), reading),
    );
  };
  const start = method === 'ste' ? startSte : startNoiseStep;
  const { run, data, integers, close } = await start(resolved, load, home, options, out);
  const progress = new Progress();
  try {
    const resume = resumeCommand(sourceOf(source, options), options, run.out);
    const forms: Form[] = [];
    const figures = await runSteps(run, {
      limits,
      out,
      metrics,
      resume,
      progress,
      ...(smallest && { change: keepSmallest }),
    });
    const remarks = metrics?.isStdout ? process.stderr : out.remarks;
    await report(run, figures, data, out, options, await integers(), target, forms, remarks);

    /** Makes the smallest form of an artifact, and notes what all would have cost. */
    async function keepSmallest(bytes: Uint8Array): Promise<Uint8Array> {
      const artifact = openArtifact(bytes);
      const backend = await integers();
      const base = await baseOf(artifact, run.out, options, backend);
      const weights = await shown(`rebuilding ${printable(out.name)}`, 'steps', (watch) =>
        rebuildVerified(artifact, backend, base, watch),
      );
      forms.push(...formsOf(artifact, bytes, weights, base));
      return smallestOf(forms).bytes;
    }
  } finally {
    progress.clear();
    run.close();
    await close();
  }
}

/** Where a run writes; refused where something would be lost, before anything is read or trained. */
export function destinationsOf(
  { out: given, resume, base, metrics: lines, force, json }: Omit<TrainOptions, 'backend'>,
  source: string,
  inputs: readonly string[],
): { out: Destination; metrics: Metrics | null } {
  const name = resume ?? given ?? `${source}${base ? '.delta' : ''}.tern`;
  // What is resumed where nothing is unfinished says so later.
  const replace = force || (resume !== undefined && unfinishedOf(resume) === null);
  const out = Destination.open(name, { force: replace, json }, inputs);
  if (resume !== undefined && out.path === null) {
    throw new ConfigError(
      `"--resume" expected the file that a run was to become, got "${printable(resume)}"`,
    );
  }
  if (resume === undefined) requireFree(name);
  return { out, metrics: Metrics.find(lines, { resumed: resume !== undefined, force, json }, out, inputs) };
}

/** The command that resumes a run. */
export function resumeCommand(
  source: readonly string[],
  { base = [], force }: Pick<TrainOptions, 'base' | 'force'>,
  out: string,
): string {
  const bases = base.flatMap((path) => ['--base', path]);
  const words = ['ternseed', 'train', ...source, ...bases, '--resume', out, ...(force ? ['--force'] : [])];
  return words.map(shellWord).join(' ');
}

/** All files that a run reads. */
async function inputsOf(options: TrainOptions): Promise<string[]> {
  const { data, base = [] } = options;
  const { config } = options as { config?: string };
  // Of a folder, the files by the names that data have: an artifact may be beside them.
  const names = data === undefined ? [] : await readdir(data).catch(() => []);
  const files = names
    .filter((name) => /images|labels|idx|ubyte/i.test(name))
    .map((name) => join(data as string, name));
  return [...base, ...(config === undefined ? [] : [config]), ...files];
}

/** A run that is ready, its data, and where the integer network that comes out is evaluated. */
interface Started {
  readonly run: Run;
  readonly data: Dataset;
  integers(): Promise<Backend>;
  close(): Promise<void>;
}

/** Loads the data as a model reads its inputs, or, for one that is new, as the training part has them. */
type Load = (model: Header | null) => Promise<Dataset>;

async function startNoiseStep(
  resolved: Resolved | null,
  load: Load,
  home: string,
  { backend: choice, threads, base = [] }: TrainOptions,
  out: Destination,
): Promise<Started> {
  if (!(BACKEND_NAMES as readonly string[]).includes(choice)) {
    throw expected('--backend', `${BACKEND_NAMES.join(', ')} for noise-step`, choice);
  }
  const wanted = (resolved?.config ?? null) as NoiseStepConfig | null;
  if (wanted) checkConfig(wanted);
  const data = await load(wanted ? await headerOfBase(base) : await unfinishedHeader(home));
  const settings = wanted && withoutVainShift(wanted, data, resolved?.said);
  const products = roughProducts(settings ?? (await unfinishedHeader(home)).config);
  const backend = await openBackend(choice as BackendChoice, threads, products);
  try {
    const run = settings
      ? await NoiseStepRun.start(settings, data, backend, home, await trainedBase(settings))
      : await NoiseStepRun.resume(data, backend, home, base);
    return { run, data, integers: async () => backend, close: () => backend.close() };
  } catch (error) {
    await backend.close();
    throw error;
  }

  /** The first of the files that `--base` names; the others are for its own bases. */
  async function trainedBase({ model }: NoiseStepConfig): Promise<TrainedBase | null> {
    const [path] = base;
    if (path === undefined) return null;
    const artifact = perceptronArtifact(openArtifact(await readPathOrUrl(path)));
    if (artifact.header.model !== model || !isTernary(artifact.network)) {
      throw new ConfigError(
        `"--base" expected ternary layers ${model}, as "--model" says, got ${artifact.header.model}`,
      );
    }
    const weights = await rebuildOnBase(artifact, path, { base: base.slice(1) }, backend, out);
    return { weights, header: { name: inputName(path), hash: artifact.weightsHash } };
  }
}

/** How many products of a weight and an activation a run takes, roughly; NaN where its settings are damaged. */
function roughProducts(config: Readonly<Record<string, unknown>> | NoiseStepConfig): number {
  const { model, steps, batch, perturb, probes, directions } = config as NoiseStepConfig;
  const widths = String(model).split('-').map(Number);
  const weights = widths.slice(1).reduce((sum, width, layer) => sum + width * widths[layer], 0);
  return steps * batch * weights * (perturb === 'nodes' ? probes : 2 * directions);
}

async function startSte(
  resolved: Resolved | null,
  load: Load,
  home: string,
  { backend: choice, threads }: TrainOptions,
): Promise<Started> {
  if (!(TENSORFLOW_BACKENDS as readonly string[]).includes(choice)) {
    throw expected('--backend', `${TENSORFLOW_BACKENDS.join(', ')} for ste`, choice);
  }
  const wanted = (resolved?.config ?? null) as SteConfig | null;
  if (wanted) checkSteConfig(wanted);
  const data = await load(wanted ? null : await unfinishedHeader(home));
  const settings = wanted && withoutVainShift(wanted, data, resolved?.said);
  const tensorflow = await openTensorflow(choice as TensorflowChoice);
  let integers: Backend | null = null;
  const close = async () => {
    await integers?.close();
    await tensorflow.close();
  };
  try {
    const { ofExamples, SteRun } = await import('./ste-run.js'); // loads TensorFlow.js, which is optional
    const place = { backend: tensorflow, out: home, threads: threads ?? availableParallelism() };
    const run = settings
      ? await SteRun.start(settings, ofExamples(data), place)
      : await SteRun.resume(ofExamples(data), place);
    return { run, data, integers: async () => (integers ??= await openBackend('auto', threads)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A preset's shift is for images; where there are none, or smaller ones, it falls away. */
function withoutVainShift<Config extends { readonly shift: number }>(
  config: Config,
  { train }: Dataset,
  said: ReadonlySet<string> = new Set(),
): Config {
  if (config.shift < shiftLimit(train.image) || said.has('shift')) return config;
  note(`the examples are no images that could be shifted by ${config.shift}: "shift" is 0`);
  return { ...config, shift: 0 };
}

/** `28x28`, `8x8x3`, `3x8x8`: what the examples are where their files do not say it. */
function readImage({ image, resume }: TrainOptions): ImageShape | null {
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

/** The header of the artifact that a delta is trained on. */
async function headerOfBase([path]: readonly string[]): Promise<Header | null> {
  return path === undefined ? null : perceptronArtifact(openArtifact(await readPathOrUrl(path))).header;
}

/** Of a delta: the network is that of its base, unless the user says otherwise. */
async function defaultsOfBase(
  { base, resume }: TrainOptions,
  method: Method,
): Promise<Record<string, unknown>> {
  if (base === undefined || resume !== undefined) return {};
  if (method !== 'noise-step') throw new ConfigError('"--base" is for noise-step: leave it away');
  const { model, centred, gain, logitScale } = perceptronArtifact(
    openArtifact(await readPathOrUrl(base[0])),
  ).header;
  return { model, centred, gain, logitScale };
}

/**
 * The trainer: as named, or that of the run that is resumed.
 * @param home - of the run
 */
export async function methodOf(
  { method, resume }: Pick<TrainOptions, 'method' | 'resume'>,
  home: string,
  usual: Method = EXAMPLE_SETTINGS.method,
): Promise<Method> {
  if (method !== undefined && !METHODS.includes(method as Method)) {
    throw expected('--method', METHODS.join(' or '), method);
  }
  if (resume === undefined) return (method as Method | undefined) ?? usual;
  const { config } = await unfinishedHeader(home);
  const found = config.method === 'ste' ? 'ste' : 'noise-step';
  if (method !== undefined && method !== found) {
    throw new ConfigError(
      `"--method" expected ${found}, as the run that "--resume" goes on with has, got "${method}"`,
    );
  }
  return found;
}

/** Opens what was written, evaluates what it rebuilds to, and prints it. */
async function report(
  run: Run,
  { seconds, forwardPasses, artifact: bytes }: Figures,
  dataset: Dataset,
  out: Destination,
  options: TrainOptions,
  backend: Backend,
  target: number | null,
  forms: readonly Form[],
  remarks: NodeJS.WritableStream,
): Promise<void> {
  const artifact = perceptronArtifact(openArtifact(bytes ?? (await readBytes(run.out))));
  const { heldOut } = splitTraining(dataset.train, run.config.holdout);
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

function readTarget({ targetAccuracy }: TrainOptions): number | null {
  if (targetAccuracy === undefined) return null;
  const target = parseNumber('--target-accuracy', targetAccuracy);
  if (!(target >= 0 && target <= 1)) throw expected('--target-accuracy', 'a share in 0…1', targetAccuracy);
  return target;
}

/** What `train` was told to train on, to be told so again. */
function sourceOf(source: 'mnist' | 'idx', { data }: TrainOptions): string[] {
  return source === 'mnist' ? [source] : [source, '--data', `${data}`];
}

function requireFolder({ data }: TrainOptions): string {
  if (data === undefined)
    throw new ConfigError('"train idx" expected "--data DIR", a folder of four IDX files');
  return data;
}
