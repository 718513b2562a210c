/** Latents of tensors: that of a trit has a range that its cut gives; every other value is its own latent. */

import { CUT_MAX, initLatents, latentOf, latentRange, tritOf } from '../random/latents.js';
import type { Key } from '../random/philox.js';
import type { Graph } from '../ternary/graph.js';
import type { Tensor } from '../ternary/model.js';
import { VALUE_RANGES } from '../ternary/precision.js';

/**
 * The initial latents of a tensor, or of a part of it.
 * @param index - of the tensor in its model
 * @param latents - receives them
 * @param first - index within the tensor of the first of them
 */
export function firstLatents(
  graph: Pick<Graph, 'tensors' | 'initial'>,
  index: number,
  key: Key,
  cut: number,
  latents: Int8Array,
  first = 0,
): void {
  const initial = graph.initial[index];
  if (typeof initial !== 'string') latents.set(initial.subarray(first, first + latents.length));
  else if (initial === 'zeros') latents.fill(0);
  else initLatents(key, index, graph.tensors[index].values === 'trit' ? cut : CUT_MAX, latents, first);
}

/** The latents with which a delta begins where its base has these values of a tensor. */
export function latentsOfValues({ values: kind }: Tensor, values: Int8Array, cut: number): Int8Array {
  return kind === 'trit' ? values.map((trit) => latentOf(trit, cut)) : values.slice();
}

/** The value of a tensor that a latent stands for. */
export function valueOfLatent({ values }: Tensor, latent: number, cut: number): number {
  if (values === 'trit') return tritOf(latent, cut);
  const [least, largest] = VALUE_RANGES[values];
  return Math.max(least, Math.min(largest, latent));
}

/** The largest magnitude of a latent of a tensor. */
export function latentMax({ values }: Tensor, cut: number): number {
  return values === 'trit' ? latentRange(cut) : VALUE_RANGES[values][1];
}

/** A tensor's part of what there is one of for each value of a model. */
export function partOf<V extends Int8Array | Int32Array>(values: V, { offset, rows, columns }: Tensor): V {
  return values.subarray(offset, offset + rows * columns) as V;
}
