/** Which trits of a matrix come before one, around it. */

/** Neighbours in the row: so many to the right, so many strides down. */
const NEIGHBOURS = [
  [-1, 0],
  [0, -1],
  [-1, -1],
  [1, -1],
  [-2, 0],
  [0, -2],
  [2, -1],
  [-2, -1],
] as const;

/**
 * [8] Where the neighbours of a trit are, in columns from its own.
 * @param none - of those that are in no image
 */
export function neighbourOffsets(stride: number, none: number): Int32Array {
  return Int32Array.from(NEIGHBOURS, ([right, down]) =>
    down === 0 || stride > 0 ? right + down * stride : none,
  );
}
