/**
 * The instructions of the wasm kernels, by operation. Those of chains of layers are here; all others are loaded when
 * a program has one, as are their kernels.
 */

import type { Graph } from '../ternary/graph.js';
import type { Encoders } from './instruction.js';
import { linear } from './linear/instruction.js';
import { loss } from './loss/instruction.js';
import { normalize } from './normalize/instruction.js';

const LAYERS: Encoders = { linear: [0, linear], normalize: [1, normalize], loss: [2, loss] };

/** Whether the kernels of chains of layers are enough: u7 inputs, no weights that are applied twice, no latents but of trits. */
export function isOfLayers({ initial, program, slots, tensors }: Graph): boolean {
  const linears = program.filter(({ op }) => op === 'linear');
  return (
    program.every(({ op }) => op in LAYERS) &&
    linears.every(({ inputs: [x] }) => slots[x].kind === 'u7') &&
    (typeof initial === 'string' || tensors.every(({ values }) => values === 'trit')) &&
    new Set(linears.map(({ tensors: [weights] }) => weights)).size === linears.length
  );
}

/** What makes the instructions of a graph's program. */
export async function encodersOf(graph: Graph): Promise<Encoders> {
  return isOfLayers(graph) ? LAYERS : { ...LAYERS, ...(await import('./more-instructions.js')).MORE };
}
