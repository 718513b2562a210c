/**
 * How many directions each tensor gets. Small tensors get more per weight than large ones,
 * since the layer that makes the logits has few weights and each matters: shares go with
 * the square root of a tensor's size, and no tensor gets more directions than weights.
 */

import type { Network } from '../ternary/network.js';

/**
 * Splits a number of directions over the tensors of a network.
 * @param directions - at least one a tensor; more than there are weights is cut to that
 * @returns one count a tensor, each 1…rows × columns
 * @throws {RangeError} when there are fewer directions than tensors
 * @example allocateDirections(networkOf([784, 512, 10], options), 32_768) // [ 29448, 3320 ]
 */
export function allocateDirections(network: Network, directions: number): number[] {
  const sizes = network.tensors.map(({ rows, columns }) => rows * columns);
  if (directions < sizes.length) {
    throw new RangeError(`expected at least ${sizes.length} directions, one a tensor, got ${directions}`);
  }
  const counts = sizes.map(() => 0);
  let open = sizes.map((_, tensor) => tensor);
  let left = Math.min(directions, network.parameters);
  // A tensor that is full hands the rest of its share to the others.
  while (open.length > 0) {
    const roots = open.map((tensor) => Math.sqrt(sizes[tensor]));
    const total = roots.reduce((sum, root) => sum + root, 0);
    const shares = roots.map((root) => Math.max(1, Math.floor((left * root) / total)));
    const full = open.filter((tensor, i) => shares[i] >= sizes[tensor]);
    if (full.length === 0) {
      open.forEach((tensor, i) => {
        counts[tensor] = shares[i];
      });
      break;
    }
    for (const tensor of full) {
      counts[tensor] = sizes[tensor];
      left -= sizes[tensor];
    }
    open = open.filter((tensor) => !full.includes(tensor));
  }
  return counts;
}
