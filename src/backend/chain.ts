/** Chains of ternary layers: what the estimator of weights takes. */

import { ConfigError } from '../errors.js';
import type { Graph } from '../ternary/graph.js';

/**
 * The layers of a chain.
 * @returns indices of each layer's `linear` and `normalize`, which the last has not
 * @throws {ConfigError} when the graph is none
 */
export function chainOf({ program, slots, tensors }: Graph): [linear: number, normalize: number | null][] {
  const layers = program.flatMap(({ op, tensors: own }, index): [number, number | null][] => {
    if (op !== 'linear' || own.length > 1 || tensors[own[0]].values !== 'trit') return [];
    return [[index, program[index + 1].op === 'normalize' ? index + 1 : null]];
  });
  const isChain =
    layers.length * 2 === program.length &&
    layers.every(
      ([index, normalize], i) => index === 2 * i && (normalize !== null) === i + 1 < layers.length,
    ) &&
    program.every(({ inputs }, index) => inputs.length === 1 && inputs[0] === index) &&
    slots[0].kind === 'u7';
  if (!isChain) throw new ConfigError('"weights" expected false: the model is no chain of ternary layers');
  return layers;
}
