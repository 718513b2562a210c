/** The rule of real latents: Adam moves one for every weight, and the artifact has what they stand for. */

import { CUT_MAX, tritOf } from '../../random/latents.js';
import { latentsOfValues, partOf } from '../../backend/latents.js';
import type { LatentSettings } from '../config.js';
import type { Tensor } from '../../ternary/model.js';
import { VALUE_RANGES } from '../../ternary/precision.js';
import { PoolOptimizer } from '../pool-optimizer.js';
import type { RunState } from '../../artifact/checkpoint.js';
import { type Rule, type Scene, shareOf } from './rule.js';

/** A tensor that is trained, and its latents, ±127: a trit is one beyond ±42, an integer the nearest. */
interface Trained {
  readonly tensor: Tensor;
  /** Whether its alignment has a closed form. */
  readonly isExact: boolean;
  readonly optimizer: PoolOptimizer<Float32Array>;
}

/** Latents stay within this. */
const LATENT_MAX = VALUE_RANGES.int8[1];

export class LatentsRule implements Rule {
  readonly #trained: readonly Trained[];

  /**
   * @param values - all values at first, in model order: those that are not trained stay as they are
   * @param latents - what the trained ones are read from
   * @param base - of a delta, the values of its base
   */
  constructor(
    readonly scene: Scene,
    readonly config: LatentSettings,
    /** 0 for a tensor that is not trained. */
    trained: readonly number[],
    readonly values: Int8Array,
    latents: Int8Array,
    readonly base: Int8Array | null,
  ) {
    const { tensors, program } = scene.graph;
    this.#trained = tensors.flatMap((tensor, index) => {
      if (trained[index] === 0) return [];
      const isExact = program.some((op) => op.probe === 'exact' && op.tensors[0] === index);
      const optimizer = new PoolOptimizer(
        tensor.rows * tensor.columns,
        { ...config, limit: LATENT_MAX },
        Float32Array,
      );
      const own = partOf(base ?? latents, tensor);
      optimizer.state.values.set(base ? latentsOfValues(tensor, own, CUT_MAX) : own);
      return [{ tensor, isExact, optimizer }];
    });
  }

  get counts(): readonly number[] {
    return [];
  }

  async step(step: number): ReturnType<Rule['step']> {
    const { config, scene } = this;
    const { alignments, evaluation } = await scene.align(step);
    const share = shareOf(step, config);
    for (const { tensor, isExact, optimizer } of this.#trained) {
      const rate = isExact ? config.headRate : config.learningRate;
      optimizer.update(partOf(alignments, tensor), 0, rate * share);
      this.#read(tensor, optimizer.state.values);
    }
    await scene.placed.writeWeights(this.values);
    return { evaluation };
  }

  state() {
    const arrays = this.#arrays().map((array) => array.slice());
    return { arrays };
  }

  async restore({ step, arrays = [] }: RunState): Promise<void> {
    const mine = this.#arrays();
    if (arrays.length !== mine.length || arrays.some((array, i) => array.length !== mine[i].length)) {
      throw new RangeError(`expected arrays of ${mine.map(({ length }) => length).join(', ')} values`);
    }
    mine.forEach((array, i) => array.set(arrays[i]));
    for (const { tensor, optimizer } of this.#trained) {
      optimizer.state.updates.fill(step);
      this.#read(tensor, optimizer.state.values);
    }
    await this.scene.placed.writeWeights(this.values);
  }

  #arrays(): Float32Array[] {
    return this.#trained.flatMap(({ optimizer: { state } }) => [state.values, state.mean, state.square]);
  }

  /** The values that latents stand for. */
  #read({ values, offset }: Tensor, latents: Float32Array): void {
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
}
