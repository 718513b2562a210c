/**
 * How much a file may decode to. An adaptive coder makes of a few hundred bytes as many equal values as
 * it is asked for, so a reader that believed a header would make room for gigabytes and fill it for
 * minutes. Hence a bound by the length of the file, which no trained artifact comes near: the sparsest of
 * ours decode to some hundred values a byte. Weights that a seed expands to are not meant: nobody makes
 * room for those before somebody asks for them.
 */

/** So many values may be in a file of any length. */
export const VALUES_FREE = 2 ** 22;
/** And so many more for each of its bytes. */
export const VALUES_PER_BYTE = 2 ** 12;

/** The most values that a file may decode to: weights if packed, coefficients of a pool, or of all steps of a log. */
export function valuesMax(bytes: number): number {
  return VALUES_FREE + VALUES_PER_BYTE * bytes;
}
