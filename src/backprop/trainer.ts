/**
 * The ste trainer: quantize the shadow weights, run the integer model's own arithmetic forward in float32, take the
 * gradient through the roundings, move the shadow weights. What it evaluates is what the artifact computes, but for
 * the loss's own fixed point. It knows no file, and of a model only its graph.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { Score, ScoredBatches } from '../backend/batch.js';
import { Turns } from '../backend/turns.js';
import { Batches, checkTrainingSet, type TrainingSet } from '../data/batches.js';
import { checkTextLength, WindowBatches } from '../data/windows.js';
import { ConfigError } from '../errors.js';
import { keyOf } from '../random/key.js';
import type { Key } from '../random/philox.js';
import type { RunState } from '../artifact/checkpoint.js';
import { classesOf, type Graph } from '../ternary/graph.js';
import type { BatchSource, StepRecord, Trainer } from '../train/trainer.js';
import { Breath, type Watch } from '../watch.js';
import { checkSteConfig, entryOf, type SteConfig, steDirections } from './config.js';
import { batchTensors, type Integers, SteProgram } from './ops.js';
import { AdamW } from './optimizers/adamw.js';
import { Muon } from './optimizers/muon.js';
import { clipByGlobalNorm, type Optimizer } from './optimizers/optimizer.js';
import { type GradientHelpers, type PartGradients, partGradients, partsOf } from './part-gradients.js';
import { roundHalfAway } from './pool-tensor.js';
import { factorsAt } from './schedules.js';
import { disposeIntegers, Shadows } from './shadows.js';
import { checkTextSteConfig, type TextSteConfig } from './text-config.js';

/** What a run may begin with beside its configuration. */
export interface SteStart {
  /** Other threads that take parts of each batch, and end with the trainer; the bits are the same without. */
  readonly helpers?: GradientHelpers | null;
  /** Of every random decision, instead of that of the seed: a run keeps the one in its header. */
  readonly key?: Key | undefined;
}

/** The configuration of a run on examples, or on a text. */
export type AnySteConfig = SteConfig | TextSteConfig;

export class SteTrainer<Config extends AnySteConfig = AnySteConfig> implements Trainer<Config> {
  readonly #turns = new Turns();
  readonly #program: SteProgram;
  readonly #optimizer: Optimizer;

  private constructor(
    readonly config: Config,
    readonly graph: Graph,
    readonly key: Key,
    /** Directions of each tensor of a pool; empty for packed weights. */
    readonly counts: readonly number[],
    readonly shadows: Shadows,
    readonly batches: BatchSource,
    readonly helpers: GradientHelpers | null,
  ) {
    this.#program = new SteProgram(graph);
    const { parameters } = shadows;
    this.#optimizer =
      config.optimizer === 'muon' ? new Muon(parameters, config) : new AdamW(parameters, config);
  }

  /**
   * Draws the first weights of a model of labelled examples, on the current backend of TensorFlow.js.
   * @throws {ConfigError} when the configuration or the data do not fit
   * @example
   * await openTensorflow('wasm');
   * const trainer = await SteTrainer.create(config, data.train);
   * while (trainer.step < config.steps) await trainer.next();
   */
  static async create(
    config: SteConfig,
    data: TrainingSet,
    { helpers = null, key = keyOf(config.seed) }: SteStart = {},
  ): Promise<SteTrainer<SteConfig>> {
    return withHelpers(helpers, async () => {
      const graph = checkSteConfig(config);
      checkTrainingSet(data, [graph.slots[0].width, classesOf(graph)], config.shift);
      const counts = steDirections(config, graph);
      const { quantizer, threshold } = config;
      const shadows =
        config.artifact === 'pool'
          ? await Shadows.ofPool(graph, key, counts, config.cut)
          : await Shadows.ofWeights(graph, key, (_, layer) => {
              return { name: entryOf(quantizer, layer), threshold: entryOf(threshold, layer) };
            });
      const batches = new Batches(key, data, config.batch, config.shift);
      return new SteTrainer(config, graph, key, counts, shadows, batches, helpers);
    });
  }

  /**
   * The same of a model of texts.
   * @param text - to train on
   */
  static async ofText(
    config: TextSteConfig,
    text: Uint8Array,
    { helpers = null, key = keyOf(config.seed) }: SteStart = {},
  ): Promise<SteTrainer<TextSteConfig>> {
    return withHelpers(helpers, async () => {
      const model = checkTextSteConfig(config);
      checkTextLength(text, config.context, 'training text');
      const { quantizer, threshold } = config;
      const shadows = await Shadows.ofWeights(model, key, ({ values }) => {
        return { name: values === 'trit' ? quantizer : 'int8', threshold };
      });
      const batches = new WindowBatches(key, text, config.batch, config.context);
      return new SteTrainer(config, model, key, [], shadows, batches, helpers);
    });
  }

  get cut(): number {
    const { config } = this;
    return config.artifact === 'pool' ? config.cut : 0;
  }

  /** Steps done. */
  get step(): number {
    return this.#optimizer.steps;
  }

  /** Forward passes of one example or window that every step is worth. */
  get forwardPassesPerStep(): number {
    return this.config.batch;
  }

  /** Tensors that TensorFlow.js holds now; the same after every step. */
  get tensorsInUse(): number {
    return tf.memory().numTensors;
  }

  /** One step; steps that overlap take turns. */
  next(): Promise<StepRecord> {
    return this.#turns.take(() => this.#next());
  }

  async #next(): Promise<StepRecord> {
    const { config, batches } = this;
    batches.load(this.step);
    const { rate, decay } = factorsAt(config.schedule, this.step, config.steps, config.warmup);
    const size = { learningRate: rate * config.learningRate, weightDecay: decay * config.weightDecay };
    const integers = await this.shadows.quantize();
    const { loss, hits, gradients } = await this.#gradients(integers);
    disposeIntegers(integers);
    if (!Number.isFinite(loss)) {
      tf.dispose(gradients as tf.Tensor[]);
      throw new ConfigError(
        `the loss of step ${this.step + 1} is ${loss}: use a smaller "learningRate", or "clipNorm"`,
      );
    }
    tf.tidy(() => {
      const own = this.shadows.pull(gradients);
      this.#optimizer.step(config.clipNorm > 0 ? clipByGlobalNorm(own, config.clipNorm) : own, size);
    });
    tf.dispose(gradients as tf.Tensor[]);
    return {
      ...{ step: this.step, loss, accuracy: hits / batches.labels.length },
      ...{ forwardPasses: this.forwardPassesPerStep, learningRate: size.learningRate },
    };
  }

  /**
   * Accuracy and loss of the model as it is now, by the trainer's own forward pass.
   * @param watch - progress in rows, and a signal to give up by
   */
  async evaluate({ rows, batches }: ScoredBatches, watch?: Watch): Promise<Score> {
    const breath = new Breath(watch);
    const integers = await this.shadows.quantize();
    let [examples, right, loss] = [0, 0, 0];
    for (const batch of batches) {
      if (breath.due()) await breath.take(examples, rows);
      const results = tf.tidy(() => {
        const { losses, hits } = this.#program.loss(integers, batchTensors(this.graph, batch));
        return [losses, hits];
      });
      const [losses, hits] = [await results[0].data(), await results[1].data()];
      tf.dispose(results);
      for (let row = 0; row < losses.length; row++) {
        if (row % batch.length < batch.from) continue;
        examples += 1;
        right += hits[row];
        loss += losses[row];
      }
    }
    disposeIntegers(integers);
    return { examples, accuracy: right / examples, loss: loss / examples };
  }

  /** The model's values in model order. */
  values(): Promise<Int8Array> {
    return this.shadows.values();
  }

  /** The pool's coefficients as the model has them. */
  async poolCoefficients(): Promise<Int16Array> {
    const coefficients = new Int16Array(this.counts.reduce((sum, count) => sum + count, 0));
    let first = 0;
    for (const { variable } of this.shadows.parameters) {
      const rounded = roundHalfAway(variable);
      coefficients.set(await rounded.data(), first);
      rounded.dispose();
      first += variable.size;
    }
    return coefficients;
  }

  /** Everything that `restore` needs. */
  async state(): Promise<RunState> {
    const arrays: Float32Array[] = [];
    for (const variable of this.#stateVariables()) arrays.push((await variable.data<'float32'>()).slice());
    return { step: this.step, arrays };
  }

  /**
   * Continues from a state.
   * @throws {RangeError} when it is not one of this configuration
   */
  async restore({ step, arrays = [] }: RunState): Promise<void> {
    const variables = this.#stateVariables();
    if (arrays.length !== variables.length || arrays.some((array, i) => array.length !== variables[i].size)) {
      throw new RangeError(`expected arrays of ${variables.map(({ size }) => size).join(', ')} values`);
    }
    variables.forEach((variable, i) => {
      tf.tidy(() => variable.assign(tf.tensor(arrays[i], variable.shape)));
    });
    this.#optimizer.steps = step;
  }

  replay(): Promise<void> {
    return Promise.reject(new TypeError('only a log has steps to replay'));
  }

  /** Frees everything on the device, and stops the helpers. */
  async release(): Promise<void> {
    await this.helpers?.stop();
    this.shadows.dispose();
    this.#optimizer.dispose();
    this.#program.dispose();
  }

  #stateVariables(): tf.Variable[] {
    return [...this.shadows.parameters.map(({ variable }) => variable), ...this.#optimizer.state];
  }

  /** Mean loss, hits and gradients of the loaded batch: its parts' one after another. */
  async #gradients(integers: Integers): Promise<PartGradients> {
    const { shards = 1 } = this.config;
    const parts = partsOf(this.batches, shards);
    const own = shards - (this.helpers?.parts ?? 0);
    this.helpers?.start(integers, parts.slice(own));
    let [loss, hits] = [0, 0];
    let gradients: readonly tf.Tensor[] = [];
    const add = (part: PartGradients) => {
      loss += part.loss / shards;
      hits += part.hits;
      const sums = gradients.length
        ? gradients.map((sum, i) => tf.add(sum, part.gradients[i]))
        : part.gradients;
      if (gradients.length) tf.dispose([...gradients, ...part.gradients]);
      gradients = sums;
    };
    for (const part of parts.slice(0, own)) add(await partGradients(this.#program, integers, part, shards));
    for (const part of (await this.helpers?.finish()) ?? []) add(part);
    return { loss, hits, gradients };
  }
}

/** Makes a trainer; where that fails, its helpers end. */
async function withHelpers<Made>(helpers: GradientHelpers | null, make: () => Promise<Made>): Promise<Made> {
  try {
    return await make();
  } catch (error) {
    await helpers?.stop();
    throw error;
  }
}
