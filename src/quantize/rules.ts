/**
 * The numbers of the quantizers, shared by those that run on plain arrays and those that are trained
 * through: where a ternary weight becomes zero, and how many levels an integer has.
 *
 * - absmean, BitNet b1.58 (Ma et al. 2024, "The era of 1-bit LLMs"): round(w/γ) clipped to ±1 with
 *   γ = mean|w|, so Δ = ½·mean|w|; 31% zeros for Gaussian weights.
 * - twn, Ternary Weight Networks (Li & Liu 2016): Δ = 0.7·mean|w|; 42% zeros.
 * - lloyd-max, the three-level quantizer of least squared error (Lloyd 1982, Max 1960) for a
 *   Gaussian: Δ = 0.612·σ with σ = rms(w); 46% zeros.
 */

/** Δ, above which |w| becomes ±1, as a factor of mean|w| or of rms(w). */
export interface ThresholdRule {
  readonly factor: number;
  readonly of: 'mean' | 'rms';
}

export const ABSMEAN: ThresholdRule = { factor: 0.5, of: 'mean' };
export const TWN: ThresholdRule = { factor: 0.7, of: 'mean' };
export const LLOYD_MAX: ThresholdRule = { factor: 0.612, of: 'rms' };

/** The largest magnitude of a symmetric integer. */
export const LEVELS = { int4: 7, int8: 127 } as const;
/** Row scales are integers up to this, the largest row's. */
export const ROW_SCALE_MAX = 127;
