/** The rule of a seed pool: Adam moves the coefficients of directions that stay. */

import type { Evaluation } from '../../backend/backend.js';
import { type DirectionSet, poolSets } from '../../random/directions.js';
import { coefficientLimit } from '../../random/latents.js';
import type { SeedSettings } from '../config.js';
import { PoolOptimizer } from '../pool-optimizer.js';
import type { RunState } from '../../artifact/checkpoint.js';
import { type Rule, type Scene, shareOf } from './rule.js';

export class PoolRule implements Rule {
  readonly #optimizer: PoolOptimizer;
  /** As the model has them: rounded. */
  readonly coefficients: Int16Array;

  constructor(
    readonly scene: Scene,
    readonly config: SeedSettings,
    readonly counts: readonly number[],
  ) {
    const size = counts.reduce((sum, count) => sum + count, 0);
    this.coefficients = new Int16Array(size);
    this.#optimizer = new PoolOptimizer(
      size,
      { ...config, limit: coefficientLimit(config.cut) },
      Float64Array,
    );
  }

  async step(step: number): ReturnType<Rule['step']> {
    const { config, scene } = this;
    const sets = this.#sets();
    const rate = config.learningRate * shareOf(step, config);
    let evaluation: Evaluation;
    if (config.perturb === 'nodes') {
      const result = await scene.align(step, sets);
      evaluation = result.evaluation;
      this.#optimizer.update(result.alignments, 0, rate);
    } else {
      // K of the D directions a step, in turn.
      const total = this.coefficients.length;
      const count = Math.min(config.directions, total);
      let first = ((step - 1) * count) % total;
      evaluation = await scene.placed.evaluate();
      for (let left = count; left > 0;) {
        const { set, from } = locate(sets, first);
        const here = Math.min(left, set.directions - (first - from));
        const { alignments } = await scene.placed.alignWeights(set, first - from, here);
        this.#optimizer.update(alignments, first, rate);
        left -= here;
        first = (first + here) % total;
      }
    }
    await this.#apply();
    return { evaluation };
  }

  state() {
    return { pool: this.#optimizer.state };
  }

  async restore({ pool }: RunState): Promise<void> {
    const { values, mean, square, updates } = this.#optimizer.state;
    if (pool?.values.length !== values.length) {
      throw new RangeError(`expected the state of a pool of ${values.length} directions`);
    }
    values.set(pool.values);
    mean.set(pool.mean);
    square.set(pool.square);
    updates.set(pool.updates);
    await this.#apply();
  }

  async #apply(): Promise<void> {
    this.#optimizer.rounded(this.coefficients);
    await this.scene.placed.applyPool(this.#sets(), this.coefficients);
  }

  #sets(): DirectionSet[] {
    const { graph, key } = this.scene;
    return poolSets(graph.tensors, key, this.counts);
  }
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
