/** The rule of a seed log: of each step's own directions, the sign of those whose alignment is large. */

import type { DirectionSet } from '../../random/directions.js';
import { logSets } from '../../random/directions.js';
import { NATS_PER_UNIT } from '../../ops/loss/op.js';
import type { SeedSettings } from '../config.js';
import { selectCoefficients } from '../selection.js';
import type { LogEntry } from '../../train/trainer.js';
import { meanUnits, type Rule, type Scene } from './rule.js';

export class LogRule implements Rule {
  #stage = 0;

  constructor(
    readonly scene: Scene,
    readonly config: SeedSettings,
    readonly counts: readonly number[],
  ) {}

  async step(step: number): ReturnType<Rule['step']> {
    const { config, scene } = this;
    const { placed } = scene;
    // The loss is known before the directions are drawn: it decides how sparse they are.
    const evaluation = await placed.evaluate();
    this.#advanceStage(meanUnits(evaluation) * NATS_PER_UNIT);
    const nonzeros = config.nonzeros[this.#stage];
    const sets = this.#sets(step, nonzeros);
    const coefficients = new Int8Array(sets.reduce((sum, set) => sum + set.directions, 0));
    if (config.perturb === 'weights') {
      const set = sets[0];
      const { alignments } = await placed.alignWeights(set, 0, set.directions);
      selectCoefficients(alignments, config.keep, coefficients);
    } else {
      // Tensors differ in the scale of their alignments: each selects its own.
      const { alignments } = await scene.align(step, sets);
      let first = 0;
      for (const { directions } of sets) {
        const end = first + directions;
        selectCoefficients(alignments.subarray(first, end), config.keep, coefficients.subarray(first, end));
        first = end;
      }
    }
    const log = { nonzeros, coefficients };
    await this.#apply(step, log);
    return { evaluation, log };
  }

  state() {
    return {};
  }

  async restore(): Promise<void> {
    throw new TypeError('a log continues from its own steps');
  }

  /** Applies a step that a log holds, as if it had just been trained. */
  async replay(step: number, entry: LogEntry): Promise<void> {
    this.#stage = this.config.nonzeros.indexOf(entry.nonzeros);
    await this.#apply(step, entry);
  }

  async #apply(step: number, { nonzeros, coefficients }: LogEntry): Promise<void> {
    let first = 0;
    for (const set of this.#sets(step, nonzeros)) {
      await this.scene.placed.applyStep(set, coefficients.subarray(first, first + set.directions));
      first += set.directions;
    }
  }

  #sets(step: number, nonzeros: number): DirectionSet[] {
    const { graph, key } = this.scene;
    return logSets(graph.tensors, key, step, this.counts, nonzeros);
  }

  #advanceStage(loss: number): void {
    const { nonzerosBelow } = this.config;
    while (this.#stage < nonzerosBelow.length && loss < nonzerosBelow[this.#stage]) this.#stage += 1;
  }
}
