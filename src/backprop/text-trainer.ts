/**
 * The ste trainer for texts: quantize the shadow weights of a transformer, run the integer model's own arithmetic
 * forward in float32, take the gradient through the roundings, move the shadow weights. What it evaluates is what
 * the artifact computes, but for the loss's own fixed point. It knows no file.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { Evaluation } from '../backend/backend.js';
import { evaluateText, type TextEvaluation, type TextScore } from '../backend/evaluate-text.js';
import { checkTextLength, WindowBatches } from '../data/windows.js';
import { ConfigError } from '../errors.js';
import { keyOf } from '../random/key.js';
import type { Key } from '../random/philox.js';
import { LOSS_BITS } from '../ops/loss/op.js';
import type { Transformer } from '../ternary/transformer.js';
import { AdamW } from './optimizers/adamw.js';
import { Muon } from './optimizers/muon.js';
import { clipByGlobalNorm, type Optimizer, type Parameter } from './optimizers/optimizer.js';
import { factorsAt } from './schedules.js';
import { checkTextSteConfig, type TextSteConfig } from './text-config.js';
import { quantizeShadows, shadowMatrices } from './text-shadows.js';
import type { SteRecord, SteState } from './trainer.js';
import { type Matrices, TransformerPass } from './transformer-pass.js';
import { type GradientHelpers, partGradients, windowTensors } from './window-gradients.js';

/** Windows that `evaluate` takes at a time. */
const EVALUATION_WINDOWS = 32;

export class TextSteTrainer {
  readonly #batches: WindowBatches;
  readonly #pass: TransformerPass;
  readonly #optimizer: Optimizer;

  private constructor(
    readonly config: TextSteConfig,
    readonly model: Transformer,
    readonly key: Key,
    readonly parameters: readonly Parameter[],
    text: Uint8Array,
    readonly helpers: GradientHelpers | null,
  ) {
    this.#batches = new WindowBatches(key, text, config.batch, config.context);
    this.#pass = new TransformerPass(model);
    this.#optimizer =
      config.optimizer === 'muon' ? new Muon(parameters, config) : new AdamW(parameters, config);
  }

  /**
   * Draws the first weights, on the current backend of TensorFlow.js.
   * @param text - to train on
   * @param helpers - other threads that take parts of each batch; the bits are the same without
   * @param key - of every random decision, instead of that of the seed: a run keeps the one in its header
   * @throws {ConfigError} when the configuration or the text do not fit
   * @example
   * await openTensorflow('wasm');
   * const trainer = await TextSteTrainer.create(config, text.train);
   * while (trainer.step < config.steps) await trainer.next();
   */
  static async create(
    config: TextSteConfig,
    text: Uint8Array,
    helpers: GradientHelpers | null = null,
    key: Key = keyOf(config.seed),
  ): Promise<TextSteTrainer> {
    const model = checkTextSteConfig(config);
    checkTextLength(text, config.context, 'training text');
    return new TextSteTrainer(config, model, key, await shadowMatrices(model, key), text, helpers);
  }

  /** Steps done. */
  get step(): number {
    return this.#optimizer.steps;
  }

  /** Forward passes of one window that every step is worth. */
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
    const { rate, decay } = factorsAt(config.schedule, this.step, config.steps, config.warmup);
    const size = { learningRate: rate * config.learningRate, weightDecay: decay * config.weightDecay };
    const matrices = await quantizeShadows(this.model, this.parameters, this.config);
    const { loss, hits, gradients } = await this.#gradients(matrices, this.#batches.windows);
    tf.dispose(matrices.weights as tf.Tensor[]);
    if (!Number.isFinite(loss)) {
      throw new ConfigError(
        `the loss of step ${this.step + 1} is ${loss}: use a smaller "learningRate", or "clipNorm"`,
      );
    }
    tf.tidy(() => {
      this.#optimizer.step(
        config.clipNorm > 0 ? clipByGlobalNorm(gradients, config.clipNorm) : gradients,
        size,
      );
    });
    tf.dispose(gradients as tf.Tensor[]);
    return {
      ...{ step: this.step, loss, accuracy: hits / (config.batch * config.context) },
      ...{ forwardPasses: this.forwardPassesPerStep, learningRate: size.learningRate },
    };
  }

  /**
   * Bits a byte of a text by the model as it is now, by the trainer's own forward pass.
   * @param most - bytes of it that are predicted, spread evenly over it; all if left out
   */
  async evaluate(
    text: Uint8Array,
    { stride = this.config.context, most, watch }: Partial<Omit<TextEvaluation, 'windows'>> = {},
  ): Promise<TextScore> {
    const matrices = await quantizeShadows(this.model, this.parameters, this.config);
    let windows = new Uint8Array();
    let length = 0;
    const evaluator = {
      model: this.model,
      loadWindows: (bytes: Uint8Array, positions: number) => {
        windows = new Uint8Array(bytes);
        length = positions;
      },
      evaluate: async () => this.#evaluate(matrices, windows, length),
    };
    const score = await evaluateText(evaluator, text, { windows: EVALUATION_WINDOWS, stride, most, watch });
    tf.dispose(matrices.weights as tf.Tensor[]);
    return score;
  }

  /** The model's values in model order: matrices, then their scales. */
  async values(): Promise<Int8Array> {
    const { tensors, scales: last, parameters } = this.model;
    const values = new Int8Array(parameters);
    const { weights, pairs } = await quantizeShadows(this.model, this.parameters, this.config);
    for (const [i, matrix] of weights.entries()) values.set(await matrix.data(), tensors[i].offset);
    values.set(pairs.flat(), last.offset);
    tf.dispose(weights as tf.Tensor[]);
    return values;
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

  /** Frees everything on the device; helpers stay. */
  dispose(): void {
    tf.dispose(this.parameters.map(({ variable }) => variable));
    this.#optimizer.dispose();
    this.#pass.dispose();
  }

  #stateVariables(): tf.Variable[] {
    return [...this.parameters.map(({ variable }) => variable), ...this.#optimizer.state];
  }

  /** Mean loss, hits and gradients of a batch: its parts' one after another. */
  async #gradients(matrices: Matrices, batch: Uint8Array) {
    const { shards, context } = this.config;
    const size = batch.length / shards;
    const parts = Array.from({ length: shards }, (_, i) => batch.subarray(i * size, (i + 1) * size));
    const own = shards - (this.helpers?.parts ?? 0);
    this.helpers?.start(matrices, parts.slice(own), context);
    let loss = 0;
    let hits = 0;
    let gradients: readonly tf.Tensor[] = [];
    const add = (part: ReturnType<typeof partGradients>) => {
      loss += part.loss / shards;
      hits += part.hits;
      const sums = gradients.length
        ? gradients.map((sum, i) => tf.add(sum, part.gradients[i]))
        : part.gradients;
      if (gradients.length) tf.dispose([...gradients, ...part.gradients]);
      gradients = sums;
    };
    for (const windows of parts.slice(0, own)) {
      add(partGradients(this.#pass, matrices, windows, context, shards));
    }
    for (const part of (await this.helpers?.finish()) ?? []) add(part);
    return { loss, hits, gradients };
  }

  /** Losses in units of the integer network's, and which predictions are right, of windows. */
  #evaluate(matrices: Matrices, windows: Uint8Array, length: number): Evaluation {
    return tf.tidy(() => {
      const tensors = windowTensors(windows, length);
      const result = this.#pass.loss(matrices, tensors);
      const labels = tensors.labels.dataSync();
      const right = result.hits.dataSync();
      const unit = 2 ** LOSS_BITS / Math.LN2;
      return {
        losses: Int32Array.from(result.losses.dataSync(), (nats) => Math.round(nats * unit)),
        // Which byte it was, where it was not the label, nobody asks.
        predictions: Uint8Array.from(labels, (label, i) => (right[i] === 1 ? label : (label + 1) & 255)),
      };
    });
  }
}
