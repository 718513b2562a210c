/**
 * The linear layer: z = x·qᵀ of u7 or i8 activations by integer weights. All values are integers
 * below 2^24, so float32 sums are exact in any order and every backend gives the same z.
 */

import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../backprop/gradient.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { roundShift } from '../../backprop/rounding.js';
import { SCALE_BITS } from '../../ternary/precision.js';
import type { SteOp } from '../ste.js';

export const linearSte: SteOp<'linear'> = ({ inputs: [x], tensors, attributes: { shift } }, at) => {
  const wide = at.graph.tensors[tensors[0]].values !== 'trit';
  const signed = at.graph.slots[x].kind === 'i8';
  const sums = linear(at.input(0), at.tensor(0), { isInput: x === 0, wide, signed });
  return [rescale(sums, shift, tensors.length > 1 ? at.tensor<tf.Tensor1D>(1) : undefined)];
};

/** What `linear` may rely on. */
export interface LinearOptions {
  /** x is the network's input and needs no gradient. */
  readonly isInput: boolean;
  /** The weights have more values than trits. */
  readonly wide: boolean;
  /** Activations are −127…127, not 0…127. */
  readonly signed?: boolean;
}

/**
 * z[B, M] = x[B, N] · q[M, N]ᵀ, differentiable by q, and by x unless it is the network's input.
 * TensorFlow.js's own gradient multiplies transposed matrices, for which tfjs-wasm has only a
 * scalar loop; here transposes are made explicitly (`product`), which is about ten times faster.
 */
export function linear(x: tf.Tensor2D, q: tf.Tensor2D, options: LinearOptions): tf.Tensor2D {
  if (options.isInput) {
    return withGradient(
      [q],
      () => ({ value: forward(x, q, options) }),
      (dz) => [weightGradient(dz, x)],
    );
  }
  return withGradient<tf.Tensor2D, [tf.Tensor2D, tf.Tensor2D]>(
    [x, q],
    () => ({ value: forward(x, q, options), saved: [x, q] }),
    (dz, activations, weights) => [inputGradient(dz, weights), weightGradient(dz, activations)],
  );
}

/** z[B, M] = x·qᵀ. */
function forward(x: tf.Tensor2D, q: tf.Tensor2D, { wide, signed }: LinearOptions): tf.Tensor2D {
  const name = signed ? FUSED.signedLinear : FUSED.linear;
  return runFused(name, { x, q }, { wide }) ?? tf.matMul(x, tf.transpose(q));
}

/** dq[M, N] = dzᵀ·x. */
function weightGradient(dz: tf.Tensor2D, x: tf.Tensor2D): tf.Tensor2D {
  return runFused(FUSED.weightGradient, { dz, x }) ?? tf.matMul(tf.transpose(dz), x);
}

/** dx[B, N] = dz·q. */
function inputGradient(dz: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return runFused(FUSED.inputGradient, { dz, q }) ?? tf.matMul(dz, q);
}

/**
 * What wider weights do to their sums (docs/arithmetic.md, "Linear"): a shift by the weights' fraction bits, then the
 * scales of the rows. Exact in int32; the gradient passes through the roundings. Row scales are constants here: what
 * learns them is the quantizer's business.
 * @param sums - [B, M] integers
 * @param shift - fraction bits of the weights
 * @param rowScales - [M] integers 1…127
 */
export function rescale(sums: tf.Tensor2D, shift: number, rowScales?: tf.Tensor1D): tf.Tensor2D {
  if (shift === 0 && !rowScales) return sums;
  const factor = rowScales ? tf.div(rowScales, 2 ** (SCALE_BITS + shift)) : tf.scalar(1 / 2 ** shift);
  return withGradient<tf.Tensor2D, [tf.Tensor]>(
    [sums],
    () => ({
      value: tf.tidy(() => {
        const inputs = { sums, scales: rowScales ?? sums };
        const fused = runFused<tf.Tensor2D>(FUSED.rescale, inputs, {
          shift,
          scaled: rowScales !== undefined,
        });
        if (fused) return fused;
        let scaled = roundShift(tf.cast(sums, 'int32'), shift);
        if (rowScales) scaled = roundShift(tf.mul(scaled, tf.cast(rowScales, 'int32')), SCALE_BITS);
        return tf.cast(scaled, 'float32') as tf.Tensor2D;
      }),
      saved: [factor],
    }),
    (dz, share) => [tf.mul(dz, share)],
  );
}
