/**
 * Latents: the integers from which ternary weights are read. They start uniform in −R…R from
 * the init stream; the weight is the sign of the latent where |latent| > cut, else 0. With
 * R = 3·cut + 1 a third of the weights start at zero.
 */

import { type Key, Purpose, philox, streamOf } from './philox.js';

/** The largest cut: 42 gives latents in −127…127, a byte. */
export const CUT_MAX = 42;

/** The latent range R of a cut; 1 (the weight is its own latent) for cut 0. */
export function latentRange(cut: number): number {
  return 3 * cut + 1;
}

/** Coefficients of a pool stay within this: beyond it no initial latent can change its trit any more. */
export function coefficientLimit(cut: number): number {
  return latentRange(cut) + cut + 1;
}

/** The trit that a latent stands for. */
export function tritOf(latent: number, cut: number): number {
  return latent > cut ? 1 : latent < -cut ? -1 : 0;
}

/** The latent that a delta begins with where its base has a trit: as far from a flip to 0 as 0 is from one to ±1. */
export function latentOf(trit: number, cut: number): number {
  return trit * (2 * cut + 1);
}

/**
 * Initial latents of a tensor, or of a part of it: eight 16-bit draws a Philox block, scaled to 2R + 1 values.
 * @param tensor - its index, which names the stream
 * @param latents - [rows × columns], or fewer for a part; receives values in −R…R
 * @param first - index within the tensor of the first of them
 */
export function initLatents(key: Key, tensor: number, cut: number, latents: Int8Array, first = 0): void {
  const range = latentRange(cut);
  const stream = streamOf(Purpose.init, tensor);
  const words = new Uint32Array(4);
  for (let i = 0; i < latents.length; i++) {
    const index = first + i;
    if (i === 0 || (index & 7) === 0) philox(key, index >>> 3, 0, 0, stream, words);
    const draw = (words[(index >>> 1) & 3] >>> ((index & 1) << 4)) & 0xffff;
    latents[i] = ((draw * (2 * range + 1)) >>> 16) - range;
  }
}
