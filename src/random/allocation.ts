/**
 * How many directions each tensor gets. Small tensors get more per weight than large ones,
 * since the layer that makes the logits has few weights and each matters: shares go with
 * the square root of a tensor's size, and no tensor gets more directions than weights, nor none.
 */

/** A model as far as its directions are concerned. */
interface Model {
  readonly tensors: readonly { readonly rows: number; readonly columns: number }[];
  /** Weights of all tensors together. */
  readonly parameters: number;
}

/**
 * Splits a number of directions over the tensors of a network.
 * @param directions - at least one a tensor; more than there are weights is cut to that
 * @returns one count a tensor, each 1…rows × columns
 * @throws {RangeError} when there are fewer directions than tensors
 * @example allocateDirections(networkOf([784, 512, 10], options), 32_768) // [ 29442, 3326 ]
 */
export function allocateDirections(network: Model, directions: number): number[] {
  const sizes = network.tensors.map(({ rows, columns }) => rows * columns);
  if (directions < sizes.length) {
    throw new RangeError(`expected at least ${sizes.length} directions, one a tensor, got ${directions}`);
  }
  const counts = sizes.map(() => 1);
  let left = Math.min(directions, network.parameters) - sizes.length;
  while (left > 0) {
    const open = sizes.flatMap((size, tensor) => (counts[tensor] < size ? [tensor] : []));
    const total = open.reduce((sum, tensor) => sum + Math.sqrt(sizes[tensor]), 0);
    const toShare = left;
    for (const tensor of open) {
      const share = Math.max(1, Math.floor((toShare * Math.sqrt(sizes[tensor])) / total));
      const given = Math.min(share, sizes[tensor] - counts[tensor], left);
      counts[tensor] += given;
      left -= given; // what a full tensor leaves, and what rounding loses, is shared again
    }
  }
  return counts;
}
