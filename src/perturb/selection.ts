/**
 * From alignments to the trits that a log keeps: the sign where |alignment| is among the
 * largest, else 0. With `keep` 0.5 this is noise_step's rule, |α| ≥ median |α| (paper, §2).
 */

/**
 * Selects coefficients.
 * @param alignments - [K] exact integers
 * @param keep - the share to keep, 0 < keep ≤ 1; ties at the threshold are all kept
 * @param out - [K], receives −1, 0, +1
 * @example selectCoefficients(Float64Array.of(5, -9, 1, 0), 0.5, out); [...out] // [1, -1, 0, 0]
 */
export function selectCoefficients(alignments: ArrayLike<number>, keep: number, out: Int8Array): void {
  const magnitudes = Float64Array.from(alignments, Math.abs).sort();
  const threshold = magnitudes[magnitudes.length - Math.max(1, Math.round(keep * magnitudes.length))];
  for (let k = 0; k < alignments.length; k++) {
    const alignment = alignments[k];
    out[k] = Math.abs(alignment) >= threshold ? Math.sign(alignment) : 0;
  }
}
