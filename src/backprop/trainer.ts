/**
 * The ste trainer: quantize the shadow weights, run the integer network's own arithmetic forward
 * in float32, take the gradient through the roundings, move the shadow weights. What it
 * evaluates is to the bit what the artifact computes. It knows no file.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { LabelledExamples, Score } from '../backend/evaluate.js';
import { Batches, checkTrainingSet, type TrainingSet } from '../data/batches.js';
import { ConfigError } from '../errors.js';
import { keyOf } from '../random/key.js';
import type { Key } from '../random/philox.js';
import type { Network } from '../ternary/network.js';
import { Breath, type Watch } from '../watch.js';
import { checkSteConfig, type SteConfig, steDirections } from './config.js';
import { pooledLayers, shadowedLayers, type TrainedLayer } from './layers.js';
import { linear } from './ops/linear.js';
import { crossEntropy } from './ops/loss.js';
import { normalizeRelu } from './ops/normalize.js';
import { roundHalfAway } from './ops/pool.js';
import { rescale } from './ops/rescale.js';
import { AdamW } from './optimizers/adamw.js';
import { Muon } from './optimizers/muon.js';
import { clipByGlobalNorm, type Optimizer, type Parameter } from './optimizers/optimizer.js';
import type { QuantizedLayer } from './quantizers/quantizer.js';
import { factorsAt } from './schedules.js';

/** What one step did. */
export interface SteRecord {
  /** Counted from 1. */
  readonly step: number;
  /** Mean cross-entropy of the batch before the update, in nats. */
  readonly loss: number;
  /** Share of the batch that was classified rightly before the update. */
  readonly accuracy: number;
  /** Forward passes of one example; each was followed by a backward pass. */
  readonly forwardPasses: number;
  readonly learningRate: number;
}

/** What a run needs to go on where it stopped. */
export interface SteState {
  readonly step: number;
  /** Trained tensors, then the optimizer's, each flat. */
  readonly arrays: readonly Float32Array[];
}

/** A batch on the device. */
interface Batch {
  /** [B, N] in float32. */
  readonly x: tf.Tensor2D;
  /** [B] int32. */
  readonly classes: tf.Tensor1D;
  /** [B, C] one-hot. */
  readonly targets: tf.Tensor2D;
}

/** Examples that `evaluate` takes at a time. */
const EVALUATION_BATCH = 1000;

export class SteTrainer {
  readonly #batches: Batches;
  readonly #parameters: readonly Parameter[];
  readonly #optimizer: Optimizer;

  private constructor(
    readonly config: SteConfig,
    readonly network: Network,
    readonly key: Key,
    /** Directions of each tensor of a pool; empty for packed weights. */
    readonly counts: readonly number[],
    readonly layers: readonly TrainedLayer[],
    data: TrainingSet,
  ) {
    this.#batches = new Batches(key, data, config.batch, config.shift);
    this.#parameters = layers.flatMap(({ parameters }) => parameters);
    this.#optimizer =
      config.optimizer === 'muon' ? new Muon(this.#parameters, config) : new AdamW(this.#parameters, config);
  }

  /**
   * Draws the first weights, on the current backend of TensorFlow.js.
   * @param key - of every random decision, instead of that of the seed: a run keeps the one in its header
   * @throws {ConfigError} when the configuration or the data do not fit
   * @example
   * await openTensorflow('wasm');
   * const trainer = await SteTrainer.create(config, data.train);
   * while (trainer.step < config.steps) await trainer.next();
   */
  static async create(
    config: SteConfig,
    data: TrainingSet,
    key: Key = keyOf(config.seed),
  ): Promise<SteTrainer> {
    const network = checkSteConfig(config);
    checkTrainingSet(data, network.widths, config.shift);
    const counts = steDirections(config, network);
    const layers =
      config.artifact === 'pool'
        ? await pooledLayers(network, key, counts, config.cut)
        : await shadowedLayers(config, network, key);
    return new SteTrainer(config, network, key, counts, layers, data);
  }

  /** Steps done. */
  get step(): number {
    return this.#optimizer.steps;
  }

  /** Forward passes of one example that every step is worth. */
  get forwardPassesPerStep(): number {
    return this.config.batch;
  }

  /** Tensors that TensorFlow.js holds now; the same after every step. */
  get tensorsInUse(): number {
    return tf.memory().numTensors;
  }

  /** One step. */
  async next(): Promise<SteRecord> {
    const { config } = this;
    this.#batches.load(this.step);
    const { inputs, labels } = this.#batches;
    const { rate, decay } = factorsAt(config.schedule, this.step, config.steps, config.warmup);
    const size = { learningRate: rate * config.learningRate, weightDecay: decay * config.weightDecay };
    const [loss, right] = tf.tidy(() => {
      const batch = this.#batchOf(inputs, labels);
      const variables = this.#parameters.map(({ variable }) => variable);
      let hits: tf.Tensor | undefined;
      const { value, grads } = tf.variableGrads(() => {
        const result = this.#forward(batch);
        hits = tf.keep(result.hits); // the tidy of `variableGrads` would take it away
        return result.loss;
      }, variables);
      const gradients = variables.map(({ name }) => grads[name]);
      const limited = config.clipNorm > 0 ? clipByGlobalNorm(gradients, config.clipNorm) : gradients;
      this.#optimizer.step(limited, size);
      return [value, hits as tf.Tensor];
    });
    const [lossValue] = await loss.data();
    const [rightCount] = await right.data();
    tf.dispose([loss, right]);
    if (!Number.isFinite(lossValue)) {
      throw new ConfigError(
        `the loss of step ${this.step} is ${lossValue}: use a smaller "learningRate", or "clipNorm"`,
      );
    }
    return {
      ...{ step: this.step, loss: lossValue, accuracy: rightCount / labels.length },
      ...{ forwardPasses: this.forwardPassesPerStep, learningRate: size.learningRate },
    };
  }

  /**
   * Accuracy and loss of the network as it is now, by the trainer's own forward pass.
   * @param watch - progress in examples, and a signal to give up by
   */
  async evaluate({ inputs, labels, count, width }: LabelledExamples, watch?: Watch): Promise<Score> {
    const breath = new Breath(watch);
    let right = 0;
    let loss = 0;
    for (let first = 0; first < count; first += EVALUATION_BATCH) {
      if (breath.due()) await breath.take(first, count);
      const end = Math.min(count, first + EVALUATION_BATCH);
      const results = tf.tidy(() => {
        const batch = this.#batchOf(inputs.subarray(first * width, end * width), labels.subarray(first, end));
        const result = this.#forward(batch);
        return [result.hits, result.loss];
      });
      right += (await results[0].data())[0];
      loss += (await results[1].data())[0] * (end - first);
      tf.dispose(results);
    }
    return { examples: count, accuracy: right / count, loss: loss / count };
  }

  /** The network's values in model order: weights, then the rows' scales of the layers that have them. */
  async values(): Promise<Int8Array> {
    const values = new Int8Array(this.network.parameters);
    for (const [index, layer] of this.layers.entries()) {
      const { weights, scale } = this.network.layers[index];
      const quantized = tf.tidy(
        () => layer.quantize() as unknown as tf.TensorContainer,
      ) as unknown as QuantizedLayer;
      values.set(await quantized.weights.data(), weights.offset);
      if (scale && quantized.rowScales) values.set(await quantized.rowScales.data(), scale.offset);
      tf.dispose(quantized as unknown as tf.TensorContainer);
    }
    return values;
  }

  /** The pool's coefficients as the network has them. */
  async poolCoefficients(): Promise<Int16Array> {
    const coefficients = new Int16Array(this.counts.reduce((sum, count) => sum + count, 0));
    let first = 0;
    for (const { variable } of this.#parameters) {
      const rounded = roundHalfAway(variable);
      coefficients.set(await rounded.data(), first);
      rounded.dispose();
      first += variable.size;
    }
    return coefficients;
  }

  /** Everything that `restore` needs. */
  async state(): Promise<SteState> {
    const arrays: Float32Array[] = [];
    for (const variable of this.#stateVariables()) arrays.push((await variable.data<'float32'>()).slice());
    return { step: this.step, arrays };
  }

  /**
   * Continues from a state.
   * @throws {RangeError} when it is not one of this configuration
   */
  restore({ step, arrays }: SteState): void {
    const variables = this.#stateVariables();
    if (arrays.length !== variables.length || arrays.some((array, i) => array.length !== variables[i].size)) {
      throw new RangeError(`expected arrays of ${variables.map(({ size }) => size).join(', ')} values`);
    }
    variables.forEach((variable, i) => {
      tf.tidy(() => variable.assign(tf.tensor(arrays[i], variable.shape)));
    });
    this.#optimizer.steps = step;
  }

  /** Frees everything on the device. */
  dispose(): void {
    for (const layer of this.layers) layer.dispose();
    this.#optimizer.dispose();
  }

  #stateVariables(): tf.Variable[] {
    return [...this.#parameters.map(({ variable }) => variable), ...this.#optimizer.state];
  }

  #batchOf(inputs: Uint8Array, labels: Uint8Array): Batch {
    const { widths } = this.network;
    const classes = tf.tensor1d(new Int32Array(labels), 'int32');
    return {
      x: tf.tensor2d(new Float32Array(inputs), [labels.length, widths[0]]),
      classes,
      // tfjs-wasm writes integers whatever dtype `oneHot` is told.
      targets: tf.cast(tf.oneHot(classes, widths.at(-1) as number), 'float32') as tf.Tensor2D,
    };
  }

  /** Mean loss in nats of a batch, and how many are classified rightly. */
  #forward({ x, classes, targets }: Batch): { loss: tf.Scalar; hits: tf.Tensor } {
    const logits = this.#logits(x);
    const hits = tf.sum(tf.cast(tf.equal(tf.argMax(logits, 1), classes), 'int32'));
    return { loss: crossEntropy(logits, targets, this.network.logitScale), hits };
  }

  /** [B, C] logits of [B, N] inputs, to the bit those of the integer network. */
  #logits(inputs: tf.Tensor2D): tf.Tensor2D {
    let x = inputs;
    for (const [index, layer] of this.layers.entries()) {
      const { weights, rowScales } = layer.quantize();
      const { shift } = this.network.layers[index];
      const z = rescale(linear(x, weights, { isInput: index === 0, wide: shift > 0 }), shift, rowScales);
      if (index === this.layers.length - 1) return z;
      x = normalizeRelu(z, this.network);
    }
    throw new RangeError('a network has at least one layer');
  }
}
