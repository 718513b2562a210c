/** An ste run and its files: a checkpoint of everything that is trained is replaced now and then. */

import { encodePacked, encodeSeedPool, type Outcome } from '../src/artifact/artifact.js';
import { encodeArrays, readArrays } from '../src/artifact/checkpoint.js';
import { formatKey, type Header, headerOf, parseKey } from '../src/artifact/header.js';
import { headerOfInputs } from '../src/artifact/inputs.js';
import { exampleBatches } from '../src/backend/batch.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { checkSteConfig, STE_KEYS, type SteConfig } from '../src/backprop/config.js';
import type { TensorflowBackend } from '../src/backprop/tensorflow.js';
import { SteTrainer } from '../src/backprop/trainer.js';
import type { Dataset, Examples } from '../src/data/dataset.js';
import { InputError, printable } from '../src/errors.js';
import type { Watch } from '../src/watch.js';
import { readBytes, RUN_BYTES_MAX } from './files.js';
import { replaceFile } from './replace-file.js';
import { percent } from './output.js';
import {
  checkedConfig,
  type Extras,
  partialPath,
  requireData,
  requireFree,
  requireSame,
  Run,
  splitTraining,
  type StepReport,
} from './run.js';
import { withLock, type WriteLock } from './write-lock.js';

/** Examples that `extras` evaluates at a time. */
const EVALUATION_BATCH = 1000;

export class SteRun extends Run {
  readonly #header: Header;

  private constructor(
    readonly trainer: SteTrainer<SteConfig>,
    readonly backend: TensorflowBackend,
    out: string,
    data: Dataset,
    lock: WriteLock,
  ) {
    super(out, lock);
    this.#header = headerOfTrainer(trainer, data);
  }

  /**
   * Starts a run.
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, or the
   * configuration does not fit
   * @throws {InputError} when the file cannot be written
   */
  static async start(
    config: SteConfig,
    data: Dataset,
    backend: TensorflowBackend,
    out: string,
  ): Promise<SteRun> {
    return withLock(out, async (lock) => {
      requireFree(out);
      const { train } = splitTraining(data.train, config.holdout);
      const run = new SteRun(await SteTrainer.create(config, train), backend, out, data, lock);
      await run.save();
      return run;
    });
  }

  /**
   * Goes on with the run that `out` is the end of.
   * @throws {InputError} when there is none, or the data are not those it was trained on
   */
  static async resume(data: Dataset, backend: TensorflowBackend, out: string): Promise<SteRun> {
    return withLock(out, async (lock) => {
      const { header, step, arrays } = readArrays(await readBytes(partialPath(out), RUN_BYTES_MAX));
      requireData(header, data, out);
      const config = checkedConfig(header, STE_KEYS, checkSteConfig);
      const { train } = splitTraining(data.train, config.holdout);
      const trainer = await SteTrainer.create(config, train, { key: parseKey(header.key) });
      const run = new SteRun(trainer, backend, out, data, lock);
      requireSame(run.#checkpointHeader(), header, run.path);
      if (step > config.steps) {
        throw new InputError(`"${printable(run.path)}" expected at most ${config.steps} steps, got ${step}`);
      }
      try {
        trainer.restore({ step, arrays });
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw new InputError(`"${printable(run.path)}" ${cause.message}`, { cause });
      }
      return run;
    });
  }

  get config(): SteConfig {
    return this.trainer.config;
  }

  get modelName(): string {
    return this.config.model;
  }

  get title(): string {
    const { artifact, quantizer, optimizer } = this.config;
    return `ste, ${artifact}${artifact === 'packed' ? `, ${quantizer.join(' ')}` : ''}, ${optimizer}`;
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

  /** The trainer's own evaluation, to hold against that of the artifact. */
  async extras(scored: Examples, watch?: Watch): Promise<Extras> {
    const { accuracy, loss } = await this.trainer.evaluate(exampleBatches(scored, EVALUATION_BATCH), watch);
    return {
      json: {
        trainerAccuracy: accuracy,
        trainerLoss: loss,
        backwardPasses: this.forwardPassesPerStep * this.step,
        tensors: this.trainer.tensorsInUse,
      },
      rows: [['trainer’s own evaluation', percent(accuracy)]],
    };
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

function headerOfTrainer({ config, graph, key, counts }: SteTrainer<SteConfig>, data: Dataset): Header {
  const { name, hash } = data;
  const inputs = headerOfInputs(data.inputs);
  return headerOf(graph, {
    kind: config.artifact,
    key: formatKey(key),
    cut: config.artifact === 'pool' ? config.cut : 0,
    directions: counts,
    config: { ...config },
    data: { name, hash },
    ...(inputs && { inputs }),
  });
}
