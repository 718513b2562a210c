/**
 * The host-side optimizer of noise-step: Adam (Kingma & Ba 2015) on real numbers, of which the network sees the
 * rounded ones: a seed pool's coefficients, or latents. In f64 with + − × ÷ and sqrt alone, so every
 * machine computes the same bits.
 */

export interface AdamOptions {
  /** Decay of the mean of alignments, 0…1. */
  readonly beta1: number;
  /** Decay of the mean of squares, 0…1. */
  readonly beta2: number;
  /** Coefficients stay within ±limit. */
  readonly limit: number;
}

type Reals = Float64Array | Float32Array;

/** Everything that a checkpoint of the optimizer holds. */
export interface PoolState<Array extends Reals = Float64Array> {
  /** [D] real coefficients. */
  readonly values: Array;
  /** [D] decayed mean of alignments. */
  readonly mean: Array;
  /** [D] decayed mean of squared alignments. */
  readonly square: Array;
  /** [D] updates so far. */
  readonly updates: Uint32Array;
}

export class PoolOptimizer<Array extends Reals = Float64Array> {
  readonly state: PoolState<Array>;
  readonly #options: AdamOptions;

  /** @param array - what keeps the state: Float64Array, or Float32Array for half the memory */
  constructor(directions: number, options: AdamOptions, array: new (length: number) => Array) {
    this.#options = options;
    this.state = {
      values: new array(directions),
      mean: new array(directions),
      square: new array(directions),
      updates: new Uint32Array(directions),
    };
  }

  /**
   * One step down the alignments.
   * @param first - index of the first coefficient that `alignments` speaks of
   * @param rate - size of a step in units of a coefficient
   */
  update(alignments: ArrayLike<number>, first: number, rate: number): void {
    const { values, mean, square, updates } = this.state;
    const { beta1, beta2, limit } = this.#options;
    // Coefficients that are updated together have nearly always the same count: the powers are kept.
    let count = 0;
    let correction1 = 1;
    let correction2 = 1;
    for (let k = 0; k < alignments.length; k++) {
      const i = first + k;
      const alignment = alignments[k];
      updates[i] += 1;
      if (updates[i] !== count) {
        count = updates[i];
        correction1 = 1 - power(beta1, count);
        correction2 = 1 - power(beta2, count);
      }
      const m = beta1 * mean[i] + (1 - beta1) * alignment;
      const v = beta2 * square[i] + (1 - beta2) * alignment * alignment;
      mean[i] = m;
      square[i] = v;
      if (v === 0) continue;
      const moved = values[i] - (rate * (m / correction1)) / Math.sqrt(v / correction2);
      values[i] = Math.max(-limit, Math.min(limit, moved));
    }
  }

  /** Writes the rounded coefficients, half away from zero. */
  rounded(out: Int16Array): void {
    const { values } = this.state;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      out[i] = value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5);
    }
  }
}

/** base^exponent by squaring: multiplications alone, in a fixed order. */
function power(base: number, exponent: number): number {
  let result = 1;
  let square = base;
  for (let left = exponent; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
