/** An ste run on a text and its files: a checkpoint of everything that is trained is replaced now and then. */

import { encodePacked } from '../src/artifact/artifact.js';
import { encodeArrays, readArrays } from '../src/artifact/checkpoint.js';
import { windowBatches } from '../src/backend/batch.js';
import { formatKey, type Header, headerOf, parseKey } from '../src/artifact/header.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { startGradientThreads } from '../src/backprop/gradient-threads.js';
import type { TensorflowBackend } from '../src/backprop/tensorflow.js';
import { checkTextSteConfig, TEXT_STE_KEYS, type TextSteConfig } from '../src/backprop/text-config.js';
import { SteTrainer } from '../src/backprop/trainer.js';
import type { GradientHelpers } from '../src/backprop/part-gradients.js';
import { JUDGED_BYTES_MAX, type TextData } from '../src/data/text.js';
import { InputError, printable } from '../src/errors.js';
import type { Key } from '../src/random/philox.js';
import type { Watch } from '../src/watch.js';
import { readBytes, RUN_BYTES_MAX } from './files.js';
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
  type StepReport,
} from './run.js';
import { withLock, type WriteLock } from './write-lock.js';

/** Windows that `extras` evaluates at a time. */
const EVALUATION_WINDOWS = 32;

export class TextRun extends Run<TextSteConfig, Uint8Array> {
  readonly #header: Header;

  private constructor(
    readonly trainer: SteTrainer<TextSteConfig>,
    readonly helpers: GradientHelpers | null,
    readonly backend: TensorflowBackend,
    out: string,
    data: TextData,
    lock: WriteLock,
  ) {
    super(out, lock);
    this.#header = headerOfTrainer(trainer, data);
  }

  /**
   * Starts a run.
   * @param threads - that share out the parts of each batch
   * @param budgetBytes - what the artifact may have
   * @throws {ConfigError} when an unfinished run would be lost, another process writes the file, the configuration
   * does not fit, or the artifact would not fit the budget
   * @throws {InputError} when the file cannot be written
   */
  static async start(
    config: TextSteConfig,
    data: TextData,
    backend: TensorflowBackend,
    out: string,
    threads: number,
    budgetBytes: number,
  ): Promise<TextRun> {
    return withLock(out, async (lock) => {
      requireFree(out);
      const run = await TextRun.#create(config, data, backend, out, threads, lock);
      try {
        // The first weights take nearly as many bytes as the last.
        await requireBudget(() => run.encode(), budgetBytes);
        await run.save();
        return run;
      } catch (error) {
        run.close();
        throw error;
      }
    });
  }

  /**
   * Goes on with the run that `out` is the end of.
   * @throws {InputError} when there is none, or the text is not the one it was trained on
   */
  static async resume(
    data: TextData,
    backend: TensorflowBackend,
    out: string,
    threads: number,
  ): Promise<TextRun> {
    return withLock(out, async (lock) => {
      const { header, step, arrays } = readArrays(await readBytes(partialPath(out), RUN_BYTES_MAX));
      requireData(header, data, out);
      const config = checkedConfig(header, TEXT_STE_KEYS, checkTextSteConfig);
      const key = parseKey(header.key);
      const run = await TextRun.#create(config, data, backend, out, threads, lock, key);
      try {
        requireSame(run.#checkpointHeader(), header, run.path);
        if (step > config.steps) {
          throw new InputError(
            `"${printable(run.path)}" expected at most ${config.steps} steps, got ${step}`,
          );
        }
        run.trainer.restore({ step, arrays });
        return run;
      } catch (cause) {
        run.close();
        if (!(cause instanceof RangeError)) throw cause;
        throw new InputError(`"${printable(run.path)}" ${cause.message}`, { cause });
      }
    });
  }

  static async #create(
    config: TextSteConfig,
    data: TextData,
    backend: TensorflowBackend,
    out: string,
    threads: number,
    lock: WriteLock,
    key?: Key,
  ): Promise<TextRun> {
    const model = checkTextSteConfig(config);
    // Threads have a TensorFlow.js of their own; only that of the CPU is worth having twice.
    const helpers =
      backend.name === 'wasm' ? await startGradientThreads(model, config.shards, threads) : null;
    return new TextRun(
      await SteTrainer.ofText(config, data.train, { helpers, ...(key && { key }) }),
      helpers,
      backend,
      out,
      data,
      lock,
    );
  }

  get config(): TextSteConfig {
    return this.trainer.config;
  }

  get modelName(): string {
    return this.trainer.graph.name;
  }

  get title(): string {
    const { artifact, quantizer, optimizer } = this.config;
    return `ste, ${artifact}, ${quantizer}, ${optimizer}, ${(this.helpers?.parts ?? 0) > 0 ? 'threads' : '1 thread'}`;
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
  async extras(scored: Uint8Array, watch?: Watch): Promise<Extras> {
    const { context } = this.config;
    const cut = { windows: EVALUATION_WINDOWS, context, stride: context, most: JUDGED_BYTES_MAX };
    const { loss } = await this.trainer.evaluate(windowBatches(scored, cut), watch);
    const bitsPerByte = loss / Math.LN2;
    return {
      json: { trainerBitsPerByte: bitsPerByte, tensors: this.trainer.tensorsInUse },
      rows: [['trainer’s own evaluation', `${bitsPerByte.toFixed(4)} bits a byte`]],
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
    const hash = await weightsHash(values, trainer.graph.tensors);
    return encodePacked(this.#header, values, { steps: trainer.step, weightsHash: hash });
  }

  protected override closeFiles(): void {
    void this.helpers?.stop();
  }

  #checkpointHeader(): Header {
    const directions = this.trainer.graph.tensors.map(() => 0);
    return { ...this.#header, kind: 'checkpoint', directions };
  }
}

function headerOfTrainer(
  { config, graph, key }: SteTrainer<TextSteConfig>,
  { name, hash }: TextData,
): Header {
  return headerOf(graph, {
    ...{ kind: 'packed', key: formatKey(key), cut: 0, directions: [] },
    config: { ...config },
    data: { name, hash },
  });
}
