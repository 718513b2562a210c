/**
 * The noise-step trainer for texts: every value of a transformer has a real latent, node perturbation aligns it,
 * and Adam moves it. Forward-only: the probes measure what a disturbed sum does to the losses, and the head's
 * alignment has a closed form. It knows no file.
 */

import type { Backend, Evaluation, Placed } from '../backend/backend.js';
import { Turns } from '../backend/turns.js';
import { checkTextLength, WindowBatches } from '../data/windows.js';
import { CUT_MAX, initLatents, latentOf, tritOf } from '../random/latents.js';
import { keyOf } from '../random/key.js';
import type { Key } from '../random/philox.js';
import { NATS_PER_UNIT } from '../ops/loss/op.js';
import type { Tensor } from '../ternary/network.js';
import { I8_MAX, type ScaledMatrix, type Transformer } from '../ternary/transformer.js';
import { PoolOptimizer } from './pool-optimizer.js';
import { checkTextNoiseStepConfig, type TextNoiseStepConfig } from './text-config.js';

/** What one step did. */
export interface TextStepRecord {
  /** Counted from 1. */
  readonly step: number;
  /** Mean cross-entropy of the batch before the update, in nats. */
  readonly loss: number;
  /** Share of the batch's bytes that was foretold rightly before the update. */
  readonly accuracy: number;
  /** Forward passes of one window that the step is worth. */
  readonly forwardPasses: number;
}

/** What a run needs to go on where it stopped: of each trained tensor the latents, and Adam's two means. */
export interface TextTrainerState {
  readonly step: number;
  readonly arrays: readonly Float32Array[];
}

/** A tensor that is trained, and its latents, ±127: a trit is one beyond ±42, an integer the nearest. */
interface Trained {
  readonly tensor: Tensor;
  readonly optimizer: PoolOptimizer<Float32Array>;
}

export class TextNoiseStepTrainer {
  readonly #turns = new Turns();
  readonly #batches: WindowBatches;
  readonly #trained: readonly Trained[];
  #step = 0;

  private constructor(
    readonly config: TextNoiseStepConfig,
    readonly model: Transformer,
    readonly key: Key,
    readonly placed: Placed,
    text: Uint8Array,
    /** All values in model order: those that are not trained stay as they are. */
    readonly values: Int8Array,
    readonly base: Int8Array | null,
  ) {
    this.#batches = new WindowBatches(key, text, config.batch, config.context);
    this.#trained = model.tensors.flatMap((tensor, index) => {
      if (tensor === model.scales || (config.train === 'head' && tensor !== model.head.weights)) return [];
      const size = tensor.rows * tensor.columns;
      const optimizer = new PoolOptimizer(size, { ...config, limit: I8_MAX }, Float32Array);
      optimizer.state.values.set(this.#firstLatents(tensor, index));
      return [{ tensor, optimizer }];
    });
  }

  /**
   * Places the model of a configuration on a backend and draws its first values.
   * @param text - to train on
   * @param base - values of all tensors, to begin with instead: what is trained is a delta on them
   * @param key - of every random decision, instead of that of the seed: a run keeps the one in its header
   * @throws {ConfigError} when the configuration or the text do not fit
   * @throws {BackendError} when the device is lost
   * @example
   * const trainer = await TextNoiseStepTrainer.create(config, text.train, backend);
   * while (trainer.step < config.steps) await trainer.next();
   */
  static async create(
    config: TextNoiseStepConfig,
    text: Uint8Array,
    backend: Backend,
    base: Int8Array | null = null,
    key: Key = keyOf(config.seed),
  ): Promise<TextNoiseStepTrainer> {
    const model = checkTextNoiseStepConfig(config);
    checkTextLength(text, config.context, 'training text');
    const probes = config.train === 'head' ? 0 : config.probes;
    const placed = await backend.place(model, { batch: config.batch, probes });
    await (base ? placed.writeWeights(base) : placed.initLatents(key, CUT_MAX));
    const values = await placed.readWeights();
    const trainer = new TextNoiseStepTrainer(config, model, key, placed, text, values, base);
    return trainer;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Forward passes of one window that every step is worth: the pass itself, and two a probe from its matrix on. */
  get forwardPassesPerStep(): number {
    const { train, probes, batch } = this.config;
    if (train === 'head') return batch;
    const { tensors, parameters, order, layers, embed } = this.model;
    const sizeOf = ({ weights }: ScaledMatrix) => weights.rows * weights.columns;
    const sites = [embed, ...order.flatMap((layer) => Object.values(layers[layer]) as ScaledMatrix[])];
    const sizes = sites.map(sizeOf);
    const head =
      parameters - tensors.slice(0, -2).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    let after = head;
    let passes = 0;
    const whole = head + sizes.slice(1).reduce((sum, size) => sum + size, 0);
    for (const size of sizes.toReversed()) {
      passes += after / whole;
      after += size;
    }
    return batch * (1 + 2 * probes * passes);
  }

  /** One step; steps that overlap take turns. */
  next(): Promise<TextStepRecord> {
    return this.#turns.take(() => this.#next());
  }

  async #next(): Promise<TextStepRecord> {
    const { config, placed } = this;
    this.#batches.load(this.#step);
    this.#step += 1;
    placed.load(this.#batches);
    const { sigma, rewardShift, horizon } = config;
    const { alignments, evaluation } = await placed.align({
      ...{ key: this.key, step: this.#step, probes: config.train === 'head' ? 0 : config.probes },
      ...{ sigma, rewardShift, horizon },
    });
    for (const { tensor, optimizer } of this.#trained) {
      const { offset, rows, columns } = tensor;
      const rate = tensor === this.model.head.weights ? config.headRate : config.learningRate;
      optimizer.update(alignments.subarray(offset, offset + rows * columns), 0, rate * this.#share());
      this.#write(tensor, optimizer.state.values);
    }
    await placed.writeWeights(this.values);
    return this.#record(evaluation);
  }

  /** Everything that `restore` needs. */
  state(): TextTrainerState {
    const arrays = this.#trained.flatMap(({ optimizer }) => {
      const { values, mean, square } = optimizer.state;
      return [values.slice(), mean.slice(), square.slice()];
    });
    return { step: this.#step, arrays };
  }

  /**
   * Continues from a state.
   * @throws {RangeError} when it is not one of this configuration
   */
  async restore({ step, arrays }: TextTrainerState): Promise<void> {
    const mine = this.#trained.flatMap(({ optimizer: { state } }) => [
      state.values,
      state.mean,
      state.square,
    ]);
    if (arrays.length !== mine.length || arrays.some((array, i) => array.length !== mine[i].length)) {
      throw new RangeError(`expected arrays of ${mine.map(({ length }) => length).join(', ')} values`);
    }
    mine.forEach((array, i) => array.set(arrays[i]));
    this.#step = step;
    for (const { tensor, optimizer } of this.#trained) {
      optimizer.state.updates.fill(step);
      this.#write(tensor, optimizer.state.values);
    }
    await this.placed.writeWeights(this.values);
  }

  /** Latents of the values that a tensor begins with. */
  #firstLatents({ values, offset, rows, columns }: Tensor, index: number): ArrayLike<number> {
    const size = rows * columns;
    const own = this.values.subarray(offset, offset + size);
    if (this.base) return values === 'trit' ? own.map((trit) => latentOf(trit, CUT_MAX)) : own;
    if (index === this.model.tensors.indexOf(this.model.head.weights)) return own;
    const drawn = new Int8Array(size);
    initLatents(this.key, index, CUT_MAX, drawn);
    return drawn;
  }

  /** The values that latents stand for. */
  #write({ values, offset }: Tensor, latents: Float32Array): void {
    const { base } = this;
    const { grain } = this.config;
    for (let i = 0; i < latents.length; i++) {
      if (values === 'trit') {
        this.values[offset + i] = tritOf(latents[i], CUT_MAX);
      } else if (base) {
        const from = base[offset + i];
        this.values[offset + i] = from + grain * Math.trunc((latents[i] - from) / grain);
      } else {
        this.values[offset + i] = Math.floor(latents[i] + 0.5);
      }
    }
  }

  #share(): number {
    const { hold, steps } = this.config;
    const done = (this.#step - 1) / steps;
    return done < hold ? 1 : (1 - done) / (1 - hold);
  }

  #record({ losses, predictions }: Evaluation): TextStepRecord {
    const { batch, context } = this.config;
    const { labels } = this.#batches;
    let right = 0;
    predictions.forEach((guess, i) => {
      if (guess === labels[i]) right += 1;
    });
    const loss = (losses.reduce((sum, one) => sum + one, 0) / losses.length) * NATS_PER_UNIT;
    const share = right / (batch * context);
    return { step: this.#step, loss, accuracy: share, forwardPasses: this.forwardPassesPerStep };
  }
}
