/**
 * The block-diagonal Hadamard transform of QuEST: x·H on the last dimension, H of ±1/√block.
 * It spreads outliers, so that what is quantized looks Gaussian; H·Hᵀ = 1, so a product of two
 * transformed matrices needs no inverse.
 */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../gradient.js';

/** QuEST's block; a dimension that is no multiple of it takes the largest power of two that divides it. */
const BLOCK_MAX = 128;

/** The block for a dimension. */
export function hadamardBlock(dimension: number): number {
  let block = 1;
  while (block < BLOCK_MAX && dimension % (2 * block) === 0) block *= 2;
  return block;
}

/**
 * x·H, differentiable: the transform is its own inverse and transpose.
 * @param x - [R, N]
 * @example hadamard(tf.tensor2d([[1, 0]])).arraySync() // [[Math.SQRT1_2, Math.SQRT1_2]]
 */
export function hadamard(x: tf.Tensor2D): tf.Tensor2D {
  return withGradient(
    [x],
    () => ({ value: transform(x) }),
    (dy) => [transform(dy)],
  );
}

function transform(x: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const block = hadamardBlock(x.shape[1]);
    const blocks = tf.reshape(x, [x.size / block, block]) as tf.Tensor2D;
    return tf.reshape(tf.matMul(blocks, matrix(block)), x.shape) as tf.Tensor2D;
  });
}

/** [block, block], Sylvester's construction: entry (i, j) is −1 where i and j share an odd number of bits. */
function matrix(block: number): tf.Tensor2D {
  const scale = 1 / Math.sqrt(block);
  const entries = Float32Array.from({ length: block * block }, (_, at) => {
    let shared = Math.floor(at / block) & (at % block);
    let sign = scale;
    for (; shared; shared &= shared - 1) sign = -sign;
    return sign;
  });
  return tf.tensor2d(entries, [block, block]);
}
