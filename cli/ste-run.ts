/** An ste run and its files: a checkpoint of everything that is trained is replaced now and then. */

import { encodePacked, encodeSeedPool, type Outcome } from '../src/artifact/artifact.js';
import { encodeArrays, readArrays } from '../src/artifact/checkpoint.js';
import { formatKey, type Header, headerOf, parseKey } from '../src/artifact/header.js';
import { headerOfInputs, type InputsHeader } from '../src/artifact/inputs.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { exampleBatches, windowBatches } from '../src/backend/batch.js';
import { checkSteConfig, STE_SETTINGS, type SteConfig } from '../src/backprop/config.js';
import { startGradientThreads } from '../src/backprop/gradient-threads.js';
import type { GradientHelpers } from '../src/backprop/part-gradients.js';
import type { TensorflowBackend } from '../src/backprop/tensorflow.js';
import { checkTextSteConfig, TEXT_STE_SETTINGS, type TextSteConfig } from '../src/backprop/text-config.js';
import { type AnySteConfig, type SteStart, SteTrainer } from '../src/backprop/trainer.js';
import type { Dataset, Examples } from '../src/data/dataset.js';
import { JUDGED_BYTES_MAX, type TextData } from '../src/data/text.js';
import { InputError, printable } from '../src/errors.js';
import type { Settings } from '../src/settings/setting.js';
import type { Graph } from '../src/ternary/graph.js';
import type { Watch } from '../src/watch.js';
import { readBytes, RUN_BYTES_MAX } from './files.js';
import { percent } from './output.js';
import { replaceFile } from './replace-file.js';
import {
  checkedConfig,
  type Extras,
  partialPath,
  requireBudget,
  requireData,
  requireFree,
  requireSame,
  Run,
  splitTraining,
  type StepReport,
} from './run.js';
import { withLock, type WriteLock } from './write-lock.js';

/** What a run is trained and scored on, and which settings that has. */
export interface SteSubject<Config extends AnySteConfig, Scored> {
  readonly data: Header['data'];
  readonly inputs?: InputsHeader | undefined;
  readonly settings: Settings;
  check(config: Config): Graph;
  create(config: Config, start: SteStart): Promise<SteTrainer<Config>>;
  /** The trainer's own evaluation, to hold against that of the artifact. */
  extras(trainer: SteTrainer<Config>, scored: Scored, watch?: Watch): Promise<Extras>;
}

/** Examples that `extras` evaluates at a time. */
const EVALUATION_BATCH = 1000;
/** Windows that it does. */
const EVALUATION_WINDOWS = 32;

/** Labelled examples. */
export function ofExamples({ name, hash, train, inputs }: Dataset): SteSubject<SteConfig, Examples> {
  return {
    data: { name, hash },
    inputs: headerOfInputs(inputs),
    settings: STE_SETTINGS,
    check: checkSteConfig,
    create: (config, start) => SteTrainer.create(config, splitTraining(train, config.holdout).train, start),
    async extras(trainer, scored, watch) {
      const { accuracy, loss } = await trainer.evaluate(exampleBatches(scored, EVALUATION_BATCH), watch);
      return {
        json: {
          ...{ trainerAccuracy: accuracy, trainerLoss: loss, tensors: trainer.tensorsInUse },
          backwardPasses: trainer.forwardPassesPerStep * trainer.step,
        },
        rows: [['trainer’s own evaluation', percent(accuracy)]],
      };
    },
  };
}

/** A text. */
export function ofText({ name, hash, train }: TextData): SteSubject<TextSteConfig, Uint8Array> {
  return {
    data: { name, hash },
    settings: TEXT_STE_SETTINGS,
    check: checkTextSteConfig,
    create: (config, start) => SteTrainer.ofText(config, train, start),
    async extras(trainer, scored, watch) {
      const { context } = trainer.config;
      const cut = { windows: EVALUATION_WINDOWS, context, stride: context, most: JUDGED_BYTES_MAX };
      const { loss } = await trainer.evaluate(windowBatches(scored, cut), watch);
      const bitsPerByte = loss / Math.LN2;
      return {
        json: { trainerBitsPerByte: bitsPerByte, tensors: trainer.tensorsInUse },
        rows: [['trainer’s own evaluation', `${bitsPerByte.toFixed(4)} bits a byte`]],
      };
    },
  };
}

/** Where a run computes, and what it writes. */
export interface StePlace {
  readonly backend: TensorflowBackend;
  readonly out: string;
  /** That share out the parts of each batch. */
  readonly threads: number;
  /** What the artifact may have. */
  readonly budgetBytes?: number;
}

export class SteRun<Config extends AnySteConfig, Scored> extends Run<Config, Scored> {
  readonly #header: Header;
  readonly backend: TensorflowBackend;

  private constructor(
    readonly trainer: SteTrainer<Config>,
    readonly subject: SteSubject<Config, Scored>,
    readonly helpers: GradientHelpers | null,
    { backend, out }: StePlace,
    lock: WriteLock,
  ) {
    super(out, lock);
    this.backend = backend;
    this.#header = headerOfTrainer(trainer, subject);
  }

  /**
   * Starts a run.
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, the configuration
   * does not fit, or the artifact would not fit the budget
   * @throws {InputError} when the file cannot be written
   */
  static start<Config extends AnySteConfig, Scored>(
    config: Config,
    subject: SteSubject<Config, Scored>,
    place: StePlace,
  ): Promise<SteRun<Config, Scored>> {
    return withLock(place.out, async (lock) => {
      requireFree(place.out);
      return SteRun.#create(config, subject, place, lock, {}, async (run) => {
        // The first weights take nearly as many bytes as the last.
        await requireBudget(() => run.encode(), place.budgetBytes ?? Number.POSITIVE_INFINITY);
        await run.save();
      });
    });
  }

  /**
   * Continues the run that `out` is the end of.
   * @throws {InputError} when there is none, or the data are not those it was trained on
   */
  static resume<Config extends AnySteConfig, Scored>(
    subject: SteSubject<Config, Scored>,
    place: StePlace,
  ): Promise<SteRun<Config, Scored>> {
    const { out } = place;
    return withLock(out, async (lock) => {
      const { header, step, arrays } = readArrays(await readBytes(partialPath(out), RUN_BYTES_MAX));
      requireData(header, subject.data, out);
      const config = checkedConfig<Config>(header, subject.settings, subject.check);
      return SteRun.#create(config, subject, place, lock, { key: parseKey(header.key) }, (run) => {
        requireSame(run.#checkpointHeader(), header, run.path);
        if (step > config.steps) {
          throw new InputError(
            `"${printable(run.path)}" expected at most ${config.steps} steps, got ${step}`,
          );
        }
        run.trainer.restore({ step, arrays });
      });
    });
  }

  /** A run on which `begin` was successful; else nothing of it is left. */
  static async #create<Config extends AnySteConfig, Scored>(
    config: Config,
    subject: SteSubject<Config, Scored>,
    place: StePlace,
    lock: WriteLock,
    start: SteStart,
    begin: (run: SteRun<Config, Scored>) => Promise<void> | void,
  ): Promise<SteRun<Config, Scored>> {
    const graph = subject.check(config);
    // Threads have a TensorFlow.js of their own; only that of the CPU is worth having twice.
    const helpers =
      place.backend.name === 'wasm'
        ? await startGradientThreads(graph, config.shards ?? 1, place.threads)
        : null;
    try {
      const trainer = await subject.create(config, { ...start, helpers });
      const run = new SteRun(trainer, subject, helpers, place, lock);
      await begin(run);
      return run;
    } catch (cause) {
      await helpers?.stop();
      if (!(cause instanceof RangeError)) throw cause;
      throw new InputError(`"${printable(partialPath(place.out))}" ${cause.message}`, { cause });
    }
  }

  get config(): Config {
    return this.trainer.config;
  }

  get modelName(): string {
    return this.trainer.graph.name;
  }

  get title(): string {
    const { artifact, quantizer, optimizer } = this.config;
    const how = artifact === 'packed' ? [[quantizer].flat().join(' ')] : [];
    const threads = (this.helpers?.parts ?? 0) > 0 ? ['threads'] : [];
    return ['ste', artifact, ...how, optimizer, ...threads].join(', ');
  }

  get step(): number {
    return this.trainer.step;
  }

  get parameters(): number {
    return this.trainer.graph.parameters;
  }

  get forwardPassesPerStep(): number {
    return this.trainer.forwardPassesPerStep;
  }

  extras(scored: Scored, watch?: Watch): Promise<Extras> {
    return this.subject.extras(this.trainer, scored, watch);
  }

  protected async train(note: (report: StepReport) => void): Promise<StepReport> {
    const record = await this.trainer.next();
    note(record);
    return record;
  }

  protected async checkpoint(): Promise<void> {
    const { step, arrays } = await this.trainer.state();
    await replaceFile(this.path, [encodeArrays(this.#checkpointHeader(), step, arrays)]);
  }

  protected async encode(): Promise<Uint8Array> {
    const { trainer } = this;
    const values = await trainer.values();
    const { tensors } = trainer.graph;
    const outcome: Outcome = { steps: trainer.step, weightsHash: await weightsHash(values, tensors) };
    const { artifact } = trainer.config;
    switch (artifact) {
      case 'pool':
        return encodeSeedPool(this.#header, await trainer.poolCoefficients(), outcome);
      case 'packed':
        return encodePacked(this.#header, values, outcome);
      default:
        return artifact satisfies never;
    }
  }

  protected override closeFiles(): void {
    void this.helpers?.stop();
  }

  /** A checkpoint says of every tensor how many directions it has, a packed artifact of none. */
  #checkpointHeader(): Header {
    const { counts, graph } = this.trainer;
    return {
      ...this.#header,
      kind: 'checkpoint',
      directions: counts.length ? counts : graph.tensors.map(() => 0),
    };
  }
}

function headerOfTrainer<Config extends AnySteConfig>(
  { config, graph, key, counts }: SteTrainer<Config>,
  { data, inputs }: Pick<SteSubject<Config, never>, 'data' | 'inputs'>,
): Header {
  return headerOf(graph, {
    kind: config.artifact,
    key: formatKey(key),
    cut: config.artifact === 'pool' ? (config as SteConfig).cut : 0,
    directions: counts,
    config: { ...config },
    data,
    ...(inputs && { inputs }),
  });
}
