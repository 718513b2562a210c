/**
 * The noise-step trainer: propose directions, evaluate their alignments on a batch, select
 * coefficients, apply them. Forward-only: no backward pass, and nothing is kept per weight but
 * its latent. It knows no file: each step returns its record, and the caller writes it.
 */

import type { Alignment, Backend, Evaluation, Placed } from '../backend/backend.js';
import { Turns } from '../backend/turns.js';
import { type DirectionSet, logSets, poolSets } from '../random/directions.js';
import { coefficientLimit } from '../random/latents.js';
import type { Key } from '../random/philox.js';
import { NATS_PER_UNIT } from '../ops/loss/op.js';
import type { Network } from '../ternary/network.js';
import { Batches, checkTrainingSet, type TrainingSet } from '../data/batches.js';
import { checkConfig, directionCounts, type NoiseStepConfig } from './config.js';
import { keyOf } from '../random/key.js';
import { PoolOptimizer, type PoolState } from './pool-optimizer.js';
import { selectCoefficients } from './selection.js';

/** What one step did. */
export interface StepRecord {
  /** Counted from 1. */
  readonly step: number;
  /** Mean cross-entropy of the batch before the update, in 2⁻¹⁶ bits; exact. */
  readonly lossUnits: number;
  /** The same in nats. */
  readonly loss: number;
  /** Share of the batch that was classified rightly before the update. */
  readonly accuracy: number;
  /** Forward passes of one example that the step is worth, by the estimator's definition. */
  readonly forwardPasses: number;
  /** For a log: what it must keep of the step. */
  readonly log?: LogEntry;
}

/** What a seed log keeps of a step. */
export interface LogEntry {
  /** Nonzeros of each direction. */
  readonly nonzeros: number;
  /** [Σ K] trits. */
  readonly coefficients: Int8Array;
}

/** What a run needs to go on where it stopped. */
export interface TrainerState {
  readonly step: number;
  /** Of a pool; a log is its own state. */
  readonly pool: PoolState | null;
}

export class NoiseStepTrainer {
  readonly counts: readonly number[];
  readonly #turns = new Turns();
  readonly #batches: Batches;
  readonly #optimizer: PoolOptimizer | null;
  readonly #coefficients: Int16Array;
  #step = 0;
  #stage = 0;

  private constructor(
    readonly config: NoiseStepConfig,
    readonly network: Network,
    readonly placed: Placed,
    readonly key: Key,
    data: TrainingSet,
  ) {
    this.#batches = new Batches(this.key, data, config.batch, config.shift);
    this.counts = directionCounts(config, network);
    const pooled = config.artifact !== 'log';
    const size = pooled ? this.counts.reduce((sum, count) => sum + count, 0) : 0;
    this.#coefficients = new Int16Array(size);
    this.#optimizer = pooled
      ? new PoolOptimizer(size, { ...config, limit: coefficientLimit(config.cut) }, Float64Array)
      : null;
  }

  /**
   * Places the network of a configuration on a backend and draws its first weights.
   * @param base - trits of all tensors, to begin with instead: what is trained is a delta on them
   * @param key - of every random decision, instead of that of the seed: a run keeps the one in its header
   * @throws {ConfigError} when the configuration or the data do not fit
   * @example
   * const trainer = await NoiseStepTrainer.create(config, data.train, backend);
   * while (trainer.step < config.steps) await trainer.next();
   */
  static async create(
    config: NoiseStepConfig,
    data: TrainingSet,
    backend: Backend,
    base?: Int8Array,
    key: Key = keyOf(config.seed),
  ): Promise<NoiseStepTrainer> {
    const network = checkConfig(config);
    checkTrainingSet(data, network.widths, config.shift);
    const placed = await backend.place(network, {
      batch: config.batch,
      probes: config.perturb === 'nodes' ? config.probes : undefined,
      weights: config.perturb === 'weights',
    });
    const trainer = new NoiseStepTrainer(config, network, placed, key, data);
    await (base ? placed.startLatents(base, config.cut) : placed.initLatents(key, config.cut));
    return trainer;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Forward passes of one example that every step is worth, by the estimator's definition. */
  get forwardPassesPerStep(): number {
    const { artifact, perturb, batch, directions } = this.config;
    if (perturb === 'nodes') return this.#nodePasses() * batch;
    const total = this.counts.reduce((sum, count) => sum + count, 0);
    // The published recipe counts the perturbed passes alone.
    return ((artifact === 'log' ? 0 : 1) + 2 * Math.min(directions, total)) * batch;
  }

  /** One step: propose, evaluate, select, apply. Steps that overlap take turns. */
  next(): Promise<StepRecord> {
    return this.#turns.take(() => this.#next());
  }

  async #next(): Promise<StepRecord> {
    this.#batches.load(this.#step);
    this.placed.load(this.#batches);
    this.#step += 1;
    return this.#optimizer ? this.#poolStep(this.#optimizer) : this.#logStep();
  }

  /** The pool's coefficients as the network has them. */
  poolCoefficients(): Int16Array {
    return this.#coefficients.slice();
  }

  /** What `restore` needs; arrays are shared with the trainer, so write them before the next step. */
  state(): TrainerState {
    return { step: this.#step, pool: this.#optimizer?.state ?? null };
  }

  /** Continues from the state of a pool; a log's steps go through `replay` instead. */
  async restore(state: TrainerState): Promise<void> {
    this.#step = state.step;
    if (this.#optimizer && state.pool) {
      this.#optimizer.state.values.set(state.pool.values);
      this.#optimizer.state.mean.set(state.pool.mean);
      this.#optimizer.state.square.set(state.pool.square);
      this.#optimizer.state.updates.set(state.pool.updates);
      this.#optimizer.rounded(this.#coefficients);
      await this.placed.applyPool(this.#poolSets(), this.#coefficients);
    }
  }

  /** Applies a step that a log holds, as if it had just been trained. */
  async replay(entry: LogEntry): Promise<void> {
    this.#step += 1;
    this.#stage = this.config.nonzeros.indexOf(entry.nonzeros);
    await this.#applyLog(entry);
  }

  async #logStep(): Promise<StepRecord> {
    const { config, placed } = this;
    // The loss is known before the directions are drawn: it decides how sparse they are.
    const before = await placed.evaluate();
    this.#advanceStage(meanLoss(before) * NATS_PER_UNIT);
    const nonzeros = config.nonzeros[this.#stage];
    const sets = this.#logSets(nonzeros);
    const coefficients = new Int8Array(sets.reduce((sum, set) => sum + set.directions, 0));
    if (config.perturb === 'weights') {
      const set = sets[0];
      const { alignments } = await placed.alignWeights(set, 0, set.directions);
      selectCoefficients(alignments, config.keep, coefficients);
    } else {
      // Tensors differ in the scale of their alignments: each selects its own.
      const { alignments } = await this.#alignNodes(sets);
      let first = 0;
      for (const { directions } of sets) {
        const end = first + directions;
        selectCoefficients(alignments.subarray(first, end), config.keep, coefficients.subarray(first, end));
        first = end;
      }
    }
    const log = { nonzeros, coefficients };
    await this.#applyLog(log);
    return this.#record(before, log);
  }

  async #poolStep(optimizer: PoolOptimizer): Promise<StepRecord> {
    const { config, placed } = this;
    const sets = this.#poolSets();
    const rate = this.#rate();
    let evaluation: Evaluation;
    if (config.perturb === 'nodes') {
      const result = await this.#alignNodes(sets);
      evaluation = result.evaluation;
      optimizer.update(result.alignments, 0, rate);
    } else {
      // K of the D directions a step, in turn.
      const total = this.#coefficients.length;
      const count = Math.min(config.directions, total);
      let first = ((this.#step - 1) * count) % total;
      evaluation = await placed.evaluate();
      for (let left = count; left > 0;) {
        const { set, from } = locate(sets, first);
        const here = Math.min(left, set.directions - (first - from));
        const { alignments } = await placed.alignWeights(set, first - from, here);
        optimizer.update(alignments, first, rate);
        left -= here;
        first = (first + here) % total;
      }
    }
    optimizer.rounded(this.#coefficients);
    await placed.applyPool(sets, this.#coefficients);
    return this.#record(evaluation);
  }

  #alignNodes(sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const { probes, sigma, rewardShift } = this.config;
    return this.placed.align({ key: this.key, step: this.#step, probes, sigma, rewardShift }, sets);
  }

  async #applyLog({ nonzeros, coefficients }: LogEntry): Promise<void> {
    let first = 0;
    for (const set of this.#logSets(nonzeros)) {
      await this.placed.applyStep(set, coefficients.subarray(first, first + set.directions));
      first += set.directions;
    }
  }

  #logSets(nonzeros: number): DirectionSet[] {
    return logSets(this.network.tensors, this.key, this.#step, this.counts, nonzeros);
  }

  #poolSets(): DirectionSet[] {
    return poolSets(this.network.tensors, this.key, this.counts);
  }

  #rate(): number {
    const { learningRate, hold, steps } = this.config;
    const done = (this.#step - 1) / steps;
    return done < hold ? learningRate : (learningRate * (1 - done)) / (1 - hold);
  }

  #advanceStage(loss: number): void {
    const { nonzerosBelow } = this.config;
    while (this.#stage < nonzerosBelow.length && loss < nonzerosBelow[this.#stage]) this.#stage += 1;
  }

  /** The pass itself, and for each probed layer 2R passes through the layers above it, by their weights. */
  #nodePasses(): number {
    const { tensors, parameters } = this.network;
    if (this.config.train === 'head') return 1;
    const above = tensors.slice(1).reduce((sum, { offset }) => sum + (parameters - offset) / parameters, 0);
    return 1 + 2 * this.config.probes * above;
  }

  #record(evaluation: Evaluation, log?: LogEntry): StepRecord {
    const { labels } = this.#batches;
    const right = evaluation.predictions.reduce((sum, guess, b) => sum + (guess === labels[b] ? 1 : 0), 0);
    const lossUnits = meanLoss(evaluation);
    return {
      step: this.#step,
      lossUnits,
      loss: lossUnits * NATS_PER_UNIT,
      accuracy: right / labels.length,
      forwardPasses: this.forwardPassesPerStep,
      ...(log && { log }),
    };
  }
}

function meanLoss({ losses }: Evaluation): number {
  return Math.floor(losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
}

/** The set that holds coefficient `index`, and the index of its first. */
function locate(sets: readonly DirectionSet[], index: number): { set: DirectionSet; from: number } {
  let from = 0;
  for (const set of sets) {
    if (index < from + set.directions) return { set, from };
    from += set.directions;
  }
  throw new RangeError(`coefficient ${index} is past the pool's end`);
}
