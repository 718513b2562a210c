/** `ternseed train mnist | idx | text`: trains, writes the artifact, and says what came out. */

import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { type Form, formsOf, smallestOf } from '../src/artifact/compact.js';
import type { Base, Header } from '../src/artifact/header.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import type { Backend } from '../src/backend/backend.js';
import { BACKEND_NAMES, type BackendChoice, openBackend } from '../src/backend/open.js';
import {
  openTensorflow,
  TENSORFLOW_BACKENDS,
  type TensorflowBackend,
  type TensorflowChoice,
} from '../src/backprop/tensorflow.js';
import type { AnySteConfig } from '../src/backprop/trainer.js';
import type { Dataset } from '../src/data/dataset.js';
import type { TextData } from '../src/data/text.js';
import { ConfigError, expected, printable } from '../src/errors.js';
import type { AnyNoiseStepConfig } from '../src/perturb/trainer.js';
import type { Graph } from '../src/ternary/graph.js';
import { type BaseOptions, baseOf, rebuildBase, rebuildOnBase } from './bases.js';
import { namesOfSettings, type Resolved, resolveConfig, type SourceSettings } from './config-options.js';
import { Destination } from './destination.js';
import { inputName, readPathOrUrl } from './files.js';
import { Metrics } from './metrics.js';
import type { NoiseStepTrainer } from '../src/perturb/trainer.js';
import type { SteTrainer } from '../src/backprop/trainer.js';
import type { RunConfig } from '../src/train/trainer.js';
import { Progress, shellWord, shown } from './output.js';
import { Run, type TrainedBase } from './run.js';
import { METHODS, type Method, type Subject } from './subject.js';
import { requireFree, unfinishedHeader, unfinishedOf } from './unfinished.js';
import { type Figures, readStepLimits, runSteps } from './steps.js';

/** The options of every source; those of its own stand beside them. */
export interface TrainOptions extends BaseOptions {
  readonly method?: string;
  readonly out?: string;
  readonly force: boolean;
  readonly resume?: string;
  readonly backend: string;
  readonly threads?: number;
  readonly minutes?: string;
  readonly metrics?: string;
  readonly saveEvery?: string;
  readonly json: boolean;
}

/** What is written, and what it is scored with. */
export interface Trained<Data, Scored> {
  readonly run: Run<RunConfig, Scored>;
  readonly figures: Figures;
  readonly data: Data;
  readonly out: Destination;
  readonly options: TrainOptions;
  /** Evaluates integers. */
  readonly backend: Backend;
  /** The artifact in all its forms, where it was told to be the smallest. */
  readonly forms: readonly Form[];
  /** Where lines for people go. */
  readonly remarks: NodeJS.WritableStream;
}

/** Data to train on: what differs between labelled examples and texts. */
export interface TrainSource<
  Data extends Dataset | TextData,
  Scored,
  NoiseStep extends AnyNoiseStepConfig,
  Ste extends AnySteConfig,
> {
  /** What the artifact is called if nobody says otherwise: `mnist`. */
  readonly name: string;
  /** The words of the command that name it. */
  readonly words: readonly string[];
  readonly settings: SourceSettings;
  /** The preset of a new run where none is named; with a base, or without. */
  presetOf(artifact: string | undefined, isDelta: boolean): string;
  /** All files that are read. */
  readonly files: readonly string[];
  /** What the artifact may have. */
  readonly budgetBytes: number;
  /** Settings of a delta that are those of its base. */
  settingsOfBase(artifact: Artifact): Readonly<Record<string, unknown>>;
  /** @param model - what reads the data; null for one that is new */
  load(model: Header | null): Promise<Data>;
  /** A preset's settings that the data have no use for fall away. */
  fitted<Config extends NoiseStep | Ste>(config: Config, data: Data, said: ReadonlySet<string>): Config;
  readonly checks: { noiseStep(config: NoiseStep): Graph; ste(config: Ste): Graph };
  noiseStep(data: Data, backend: Backend): Subject<NoiseStep, Scored, NoiseStepTrainer<NoiseStep>>;
  ste(
    data: Data,
    tensorflow: TensorflowBackend,
    threads?: number,
  ): Promise<Subject<Ste, Scored, SteTrainer<Ste>>>;
  /** How many products of a weight and an activation a run takes, roughly; NaN where that does not matter. */
  productsOf(config: Readonly<Record<string, unknown>>): number;
  /** Opens what was written, evaluates what it rebuilds to, and prints it. */
  report(trained: Trained<Data, Scored>): Promise<void>;
}

/** Trains. `options` also holds the settings, as text. */
export async function train<
  Data extends Dataset | TextData,
  Scored,
  NoiseStep extends AnyNoiseStepConfig,
  Ste extends AnySteConfig,
>(source: TrainSource<Data, Scored, NoiseStep, Ste>, options: TrainOptions): Promise<void> {
  const { resume, base } = options;
  if (resume !== undefined && options.out !== undefined) {
    throw new ConfigError('"--resume" continues the file it names: leave "--out" out');
  }
  const limits = readStepLimits(options);
  const given = options as unknown as Record<string, string | undefined>;
  const smallest = given.artifact === 'auto';
  const settings = smallest ? { ...given, artifact: undefined } : given;
  const fixed = namesOfSettings(source.settings, settings);
  if (resume !== undefined && fixed.length > 0) {
    throw new ConfigError(`"--${fixed[0]}" is fixed in the run that "--resume" continues: leave it out`);
  }
  const config = given.config === undefined ? [] : [given.config];
  const inputs = [...(base ?? []), ...config, ...source.files];
  const { out, metrics } = destinationsOf(options, source.name, inputs);
  const home = out.workplace(`${source.name}.tern`);
  const method = await methodOf(options, home, base ? 'noise-step' : source.settings.method);
  if (base && method === 'ste') throw new ConfigError('"--base" is for noise-step: leave it out');
  const resolved = resume === undefined ? await newConfig() : null;
  const { run, data, integers, close } = await (method === 'ste' ? startSte() : startNoiseStep());
  const progress = new Progress();
  try {
    const forms: Form[] = [];
    const figures = await runSteps(run, {
      ...{ limits, out, metrics, progress },
      resume: resumeCommand(source.words, options, run.out),
      ...(smallest && { change: (bytes: Uint8Array) => keepSmallest(bytes, forms) }),
    });
    const remarks = metrics?.isStdout ? process.stderr : out.remarks;
    await source.report({
      ...{ run, figures, data, out, options, forms, remarks },
      backend: await integers(),
    });
  } finally {
    progress.clear();
    run.close();
    await run.trainer.release();
    await close();
  }

  async function newConfig(): Promise<Resolved> {
    const over = base ? source.settingsOfBase(openArtifact(await readPathOrUrl(base[0]))) : {};
    const preset = settings.preset ?? source.presetOf(settings.artifact, base !== undefined);
    return resolveConfig(source.settings, method, { ...settings, preset }, over);
  }

  /** The configuration of a new run, checked, with the data that it is for; null for one that is resumed. */
  async function prepared<Config extends NoiseStep | Ste>(
    check: (config: Config) => Graph,
  ): Promise<{ config: Config | null; loaded: Data }> {
    const wanted = (resolved?.config ?? null) as Config | null;
    if (wanted) check(wanted);
    const loaded = await source.load(wanted ? await headerOfBase(base) : await unfinishedHeader(home));
    return { config: wanted && source.fitted(wanted, loaded, (resolved as Resolved).said), loaded };
  }

  async function startNoiseStep(): Promise<Started<Data, Scored>> {
    const { backend: choice, threads } = options;
    if (!(BACKEND_NAMES as readonly string[]).includes(choice)) {
      throw expected('--backend', `${BACKEND_NAMES.join(', ')} for noise-step`, choice);
    }
    const { config: wanted, loaded } = await prepared(source.checks.noiseStep);
    const products = source.productsOf({ ...(wanted ?? (await unfinishedHeader(home)).config) });
    const backend = await openBackend(choice as BackendChoice, threads, products);
    try {
      const subject = source.noiseStep(loaded, backend);
      const place = {
        ...{ backend, out: home, budgetBytes: source.budgetBytes },
        rebuildBase: (of: Base) => rebuildBase(of, home, base ?? [], backend),
      };
      const started = wanted
        ? await Run.start(wanted, subject, place, await trainedBase(wanted, backend))
        : await Run.resume(subject, place);
      return { run: started, data: loaded, integers: async () => backend, close: () => backend.close() };
    } catch (error) {
      await backend.close();
      throw error;
    }
  }

  async function startSte(): Promise<Started<Data, Scored>> {
    const { backend: choice, threads } = options;
    if (!(TENSORFLOW_BACKENDS as readonly string[]).includes(choice)) {
      throw expected('--backend', `${TENSORFLOW_BACKENDS.join(', ')} for ste`, choice);
    }
    const { config: wanted, loaded } = await prepared(source.checks.ste);
    const tensorflow = await openTensorflow(choice as TensorflowChoice);
    let evaluating: Backend | null = null;
    const closeAll = async () => {
      await evaluating?.close();
      await tensorflow.close();
    };
    try {
      const subject = await source.ste(loaded, tensorflow, threads);
      const place = { backend: tensorflow, out: home, budgetBytes: source.budgetBytes };
      const started = wanted ? await Run.start(wanted, subject, place) : await Run.resume(subject, place);
      const open = async () => (evaluating ??= await openBackend('auto', threads));
      return { run: started, data: loaded, integers: open, close: closeAll };
    } catch (error) {
      await closeAll();
      throw error;
    }
  }

  /** The first of the files that `--base` names; the others are for its own bases. */
  async function trainedBase(wanted: NoiseStep, backend: Backend): Promise<TrainedBase | null> {
    const [path, ...others] = base ?? [];
    if (path === undefined) return null;
    const artifact = openArtifact(await readPathOrUrl(path));
    const mine = source.checks.noiseStep(wanted);
    const shapes = [mine, artifact.network].map(({ tensors }) =>
      JSON.stringify(tensors.map(({ name, values, rows, columns }) => [name, values, rows, columns])),
    );
    if (shapes[0] !== shapes[1]) {
      throw new ConfigError(
        `"--base" expected the tensors of ${mine.name}, which the settings describe, got ${artifact.network.name}`,
      );
    }
    const weights = await rebuildOnBase(artifact, path, { base: others }, backend, out);
    return { weights, header: { name: inputName(path), hash: artifact.weightsHash } };
  }

  /** Makes the smallest form of an artifact, and notes what all would have cost. */
  async function keepSmallest(bytes: Uint8Array, forms: Form[]): Promise<Uint8Array> {
    const artifact = openArtifact(bytes);
    const backend = await integers();
    const under = await baseOf(artifact, run.out, options, backend);
    const weights = await shown(`rebuilding ${printable(out.name)}`, 'steps', (watch) =>
      rebuildVerified(artifact, backend, under, watch),
    );
    forms.push(...formsOf(artifact, bytes, weights, under));
    return smallestOf(forms).bytes;
  }
}

/** A run that is ready, its data, and where the integer model that comes out is evaluated. */
interface Started<Data, Scored> {
  readonly run: Run<RunConfig, Scored>;
  readonly data: Data;
  integers(): Promise<Backend>;
  close(): Promise<void>;
}

/** Where a run writes; refused where something would be lost, before anything is read or trained. */
function destinationsOf(
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
function resumeCommand(
  source: readonly string[],
  { base = [], force }: Pick<TrainOptions, 'base' | 'force'>,
  out: string,
): string {
  const bases = base.flatMap((path) => ['--base', path]);
  const words = ['ternseed', 'train', ...source, ...bases, '--resume', out, ...(force ? ['--force'] : [])];
  return words.map(shellWord).join(' ');
}

/** The header of the artifact that a delta is trained on. */
async function headerOfBase([path]: readonly string[] = []): Promise<Header | null> {
  return path === undefined ? null : openArtifact(await readPathOrUrl(path)).header;
}

/**
 * The trainer: as named, or that of the run that is resumed.
 * @param home - of the run
 */
async function methodOf(
  { method, resume }: Pick<TrainOptions, 'method' | 'resume'>,
  home: string,
  usual: Method,
): Promise<Method> {
  if (method !== undefined && !METHODS.includes(method as Method)) {
    throw expected('--method', METHODS.join(' or '), method);
  }
  if (resume === undefined) return (method as Method | undefined) ?? usual;
  const { config } = await unfinishedHeader(home);
  const found = config.method === 'ste' ? 'ste' : 'noise-step';
  if (method !== undefined && method !== found) {
    throw new ConfigError(
      `"--method" expected ${found}, as the run that "--resume" continues has, got "${method}"`,
    );
  }
  return found;
}
