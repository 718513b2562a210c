/**
 * The noise-step trainer: align directions or weights on a batch, and move the weights by a rule. Forward-only: no
 * backward pass. It knows no file, and of a model only its graph: each step returns its record, and the caller
 * writes it.
 */

import type { Alignment, Backend, Evaluation, Placed } from '../backend/backend.js';
import { firstLatents, partOf } from '../backend/latents.js';
import { Turns } from '../backend/turns.js';
import { Batches, checkTrainingSet, type TrainingSet } from '../data/batches.js';
import { checkTextLength, WindowBatches } from '../data/windows.js';
import { NATS_PER_UNIT } from '../ops/loss/op.js';
import type { DirectionSet } from '../random/directions.js';
import { keyOf } from '../random/key.js';
import { CUT_MAX } from '../random/latents.js';
import type { Key } from '../random/philox.js';
import type { RunState } from '../artifact/checkpoint.js';
import { classesOf, type Graph } from '../ternary/graph.js';
import type { BatchSource, LogEntry, StepRecord, Trainer } from '../train/trainer.js';
import {
  checkConfig,
  checkTextNoiseStepConfig,
  directionCounts,
  type NoiseStepConfig,
  seedSettings,
  type SeedSettings,
  type TextNoiseStepConfig,
  trainedSizes,
} from './config.js';
import { LatentsRule } from './rules/latents.js';
import { LogRule } from './rules/log.js';
import { PoolRule } from './rules/pool.js';
import { meanUnits, type Rule } from './rules/rule.js';

/** What one step did. */
export interface ExactRecord extends StepRecord {
  readonly lossUnits: number;
}

/** The configuration of a run on examples, or on a text. */
export type AnyNoiseStepConfig = NoiseStepConfig | TextNoiseStepConfig;

/** What a run may begin with beside its configuration. */
export interface NoiseStepStart {
  /** Values of all tensors, to begin with instead of a draw: what is trained is a delta on them. */
  readonly base?: Int8Array | undefined;
  /** Of every random decision, instead of that of the seed: a run keeps the one in its header. */
  readonly key?: Key | undefined;
}

export class NoiseStepTrainer<
  Config extends AnyNoiseStepConfig = AnyNoiseStepConfig,
> implements Trainer<Config> {
  readonly #turns = new Turns();
  readonly #rule: Rule;
  #step = 0;

  private constructor(
    readonly config: Config,
    readonly graph: Graph,
    readonly placed: Placed,
    readonly key: Key,
    readonly batches: BatchSource,
    base: Int8Array | null,
    values: Int8Array,
  ) {
    const scene = {
      ...{ graph, placed, key },
      align: (step: number, sets?: readonly DirectionSet[]) => this.#align(step, sets),
    };
    const seeds = seedsOf(config);
    if (seeds) {
      const counts = directionCounts(seeds, graph);
      this.#rule =
        seeds.artifact === 'log' ? new LogRule(scene, seeds, counts) : new PoolRule(scene, seeds, counts);
    } else {
      const latents = new Int8Array(graph.parameters);
      graph.tensors.forEach((tensor, i) => firstLatents(graph, i, key, CUT_MAX, partOf(latents, tensor)));
      const sizes = trainedSizes(graph, config.train);
      this.#rule = new LatentsRule(scene, config as TextNoiseStepConfig, sizes, values, latents, base);
    }
  }

  /**
   * Places the model of a configuration on a backend and draws its first weights.
   * @throws {ConfigError} when the configuration or the data do not fit
   * @example
   * const trainer = await NoiseStepTrainer.create(config, data.train, backend);
   * while (trainer.step < config.steps) await trainer.next();
   */
  static async create(
    config: NoiseStepConfig,
    data: TrainingSet,
    backend: Backend,
    start: NoiseStepStart = {},
  ): Promise<NoiseStepTrainer<NoiseStepConfig>> {
    const graph = checkConfig(config);
    checkTrainingSet(data, [graph.slots[0].width, classesOf(graph)], config.shift);
    const { key = keyOf(config.seed) } = start;
    const batches = new Batches(key, data, config.batch, config.shift);
    return NoiseStepTrainer.#place(config, graph, backend, batches, key, start);
  }

  /**
   * The same of a text.
   * @param text - to train on
   * @throws {BackendError} when the device is lost
   */
  static async ofText(
    config: TextNoiseStepConfig,
    text: Uint8Array,
    backend: Backend,
    start: NoiseStepStart = {},
  ): Promise<NoiseStepTrainer<TextNoiseStepConfig>> {
    const model = checkTextNoiseStepConfig(config);
    checkTextLength(text, config.context, 'training text');
    const { key = keyOf(config.seed) } = start;
    const batches = new WindowBatches(key, text, config.batch, config.context);
    return NoiseStepTrainer.#place(config, model, backend, batches, key, start);
  }

  static async #place<Config extends AnyNoiseStepConfig>(
    config: Config,
    graph: Graph,
    backend: Backend,
    batches: BatchSource,
    key: Key,
    { base }: NoiseStepStart,
  ): Promise<NoiseStepTrainer<Config>> {
    const seeds = seedsOf(config);
    const byWeights = seeds?.perturb === 'weights';
    const placed = await backend.place(graph, {
      batch: config.batch,
      ...(byWeights ? { weights: true } : { probes: probesOf(config) }),
    });
    const cut = seeds?.cut ?? CUT_MAX;
    await (base ? placed.startLatents(base, cut) : placed.initLatents(key, cut));
    const values = await placed.readWeights();
    return new NoiseStepTrainer(config, graph, placed, key, batches, base ?? null, values);
  }

  /** Directions of each tensor, as a header has them; none where every weight has a latent of its own. */
  get counts(): readonly number[] {
    return this.#rule.counts;
  }

  get cut(): number {
    return this.config.cut ?? 0;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Forward passes of one example or window that every step is worth, by the estimator's definition. */
  get forwardPassesPerStep(): number {
    const { config } = this;
    const seeds = seedsOf(config);
    if (seeds?.perturb !== 'weights') return this.#nodePasses() * config.batch;
    const total = this.counts.reduce((sum, count) => sum + count, 0);
    // The published recipe counts the perturbed passes alone.
    return ((seeds.artifact === 'log' ? 0 : 1) + 2 * Math.min(seeds.directions, total)) * config.batch;
  }

  /** One step. Steps that overlap take turns. */
  next(): Promise<ExactRecord> {
    return this.#turns.take(() => this.#next());
  }

  async #next(): Promise<ExactRecord> {
    this.batches.load(this.#step);
    this.placed.load(this.batches);
    this.#step += 1;
    const { evaluation, log } = await this.#rule.step(this.#step);
    return this.#record(evaluation, log);
  }

  /** The values of all tensors, in the model's order. */
  values(): Promise<Int8Array> {
    return this.placed.readWeights();
  }

  /**
   * The pool's coefficients as the model has them.
   * @throws {TypeError} when it has none
   */
  async poolCoefficients(): Promise<Int16Array> {
    if (this.#rule instanceof PoolRule) return this.#rule.coefficients.slice();
    throw new TypeError('only a pool has coefficients');
  }

  /** What `restore` needs; arrays of a pool are shared with the trainer, so write them before the next step. */
  async state(): Promise<RunState> {
    return { step: this.#step, ...this.#rule.state() };
  }

  /**
   * Continues from a state; a log's steps go through `replay` instead.
   * @throws {RangeError} when it is not one of this configuration
   */
  async restore(state: RunState): Promise<void> {
    await this.#rule.restore(state);
    this.#step = state.step;
  }

  /** Applies a step that a log holds, as if it had just been trained. */
  async replay(entry: LogEntry): Promise<void> {
    if (!(this.#rule instanceof LogRule)) throw new TypeError('only a log has steps to replay');
    this.#step += 1;
    await this.#rule.replay(this.#step, entry);
  }

  release(): Promise<void> {
    return this.placed.release();
  }

  #align(step: number, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const { key, config } = this;
    const { sigma, rewardShift } = config;
    const horizon = 'horizon' in config ? config.horizon : 0;
    return this.placed.align({ key, step, probes: probesOf(config), sigma, rewardShift, horizon }, sets);
  }

  /** The pass itself, and for each probed operation 2R passes through those after it, by their weights. */
  #nodePasses(): number {
    const { graph, config } = this;
    const sizeOf = (tensor: number) => graph.tensors[tensor].rows * graph.tensors[tensor].columns;
    const products = graph.program
      .filter(({ op }) => op === 'linear')
      .map(({ tensors }) => sizeOf(tensors[0]));
    const whole = products.reduce((sum, size) => sum + size, 0);
    let before = 0;
    let passes = 0;
    for (const { op, tensors, probe } of graph.program) {
      if (op === 'linear') before += sizeOf(tensors[0]);
      if (probe !== undefined && probe !== 'exact') passes += (whole - before) / whole;
    }
    return 1 + 2 * probesOf(config) * passes;
  }

  #record(evaluation: Evaluation, log?: LogEntry): ExactRecord {
    const { labels } = this.batches;
    const { losses, predictions } = evaluation;
    const right = predictions.reduce((sum, guess, row) => sum + (guess === labels[row] ? 1 : 0), 0);
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    return {
      step: this.#step,
      lossUnits: meanUnits(evaluation),
      loss: mean * NATS_PER_UNIT,
      accuracy: right / labels.length,
      forwardPasses: this.forwardPassesPerStep,
      ...(log && { log }),
    };
  }
}

/** Of a log or a pool, what their rules read; null where every weight has a latent of its own. */
function seedsOf(config: AnyNoiseStepConfig): SeedSettings | null {
  if (!('method' in config)) return config;
  return config.artifact === 'packed' ? null : seedSettings(config);
}

/** R: the head's alignment needs no probes. */
function probesOf({ train, probes }: AnyNoiseStepConfig): number {
  return train === 'head' ? 0 : probes;
}
