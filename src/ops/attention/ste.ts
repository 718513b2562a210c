/**
 * Causal attention with grouped heads and the integer softmax (docs/transformer.md), to the bit, with the
 * gradient of the softmax that its integers approximate.
 */

import * as tf from '@tensorflow/tfjs-core';
import { EXPONENT_BITS, OCTAVE_BITS, SOFTMAX, type SoftmaxScale, softmaxScale } from './op.js';
import type { SteOp } from '../ste.js';
import { HEAD_BITS, I8_MAX, MIX_BITS } from '../../ternary/units.js';
import { FUSED, runFused } from '../../backprop/kernels/fused.js';
import { withGradient } from '../../backprop/gradient.js';
import { clip, unclipped } from '../rescale/ste.js';
import { floorQuotient, magnitude, roundShift, signOf } from '../../backprop/rounding.js';

/** By so many bits is a mix finer than the values. */
const MIX_SHIFT = MIX_BITS - HEAD_BITS;
/** Weights are below 2^15: from so many octaves on they are zero. */
const OCTAVES_MAX = 15;
/** Weights are split here, so that sums of values by either part stay below 2^24. */
const LOW_WEIGHTS = 128;

export const attentionSte: SteOp<'attention'> = ({ attributes: { context, ...heads } }, at) => {
  const { table } = at.keep('softmax', () => ({ table: softmaxTensor() }));
  const shape = { ...heads, context: at.length, softmax: softmaxScale(heads.headSize, context) };
  return [attention(at.input(0), at.input(1), at.input(2), table, shape)];
};

/** What `attention` needs of a model. */
export interface AttentionShape {
  /** Of the windows at hand, at most the model's context. */
  readonly context: number;
  readonly heads: number;
  /** Heads of keys and values, a divisor of `heads`. */
  readonly keyHeads: number;
  readonly headSize: number;
  readonly softmax: SoftmaxScale;
}

/** The softmax's table on the device, [256] integers in float32. */
export function softmaxTensor(): tf.Tensor1D {
  return tf.tensor1d(Float32Array.from(SOFTMAX));
}

/**
 * The mix [B · T, H · headSize] of queries [B · T, H · headSize], and keys and values [B · T, G · headSize].
 * @param table - of `softmaxTensor`
 */
export function attention(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  table: tf.Tensor1D,
  shape: AttentionShape,
): tf.Tensor2D {
  const { context, heads, keyHeads, headSize, softmax } = shape;
  const { factor, range, shift } = softmax;
  const sizes = { context, heads, keyHeads, headSize };
  type Saved = [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor4D];
  return withGradient<tf.Tensor2D, Saved>(
    [q, k, v],
    () => {
      const attributes = { ...sizes, factor, range, weightShift: shift, mixBits: MIX_SHIFT };
      const results =
        runFused<tf.Tensor[]>(FUSED.attention, { q, k, v, table }, attributes) ??
        tf.tidy(() => forward(q, k, v, table, shape));
      const [value, probabilities] = results as [tf.Tensor2D, tf.Tensor4D];
      return { value, saved: [value, q, k, v, probabilities] };
    },
    (dmix, mix, queries, keys, values, probabilities) => {
      // d ln(weight) by a score, and what a value is in the mix
      const slope = (Math.LN2 * factor) / 2 ** (EXPONENT_BITS + OCTAVE_BITS);
      const scale = 2 ** MIX_SHIFT;
      const inputs = { dmix, mix, q: queries, k: keys, v: values, probabilities };
      const fused = runFused<tf.Tensor[]>(FUSED.attentionGradient, inputs, { ...sizes, slope, scale });
      if (fused) return fused;
      const dsums: tf.Tensor2D = tf.mul(unclipped(dmix, mix, I8_MAX), scale);
      return backward(dsums, queries, keys, values, probabilities, shape, slope);
    },
  );
}

function forward(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  table: tf.Tensor1D,
  shape: AttentionShape,
): [tf.Tensor, tf.Tensor] {
  const { context, heads } = shape;
  const int = (value: number) => tf.scalar(value, 'int32');
  const scores = tf.matMul(byHead(q, shape), byHead(k, shape), false, true); // [B, H, T, T]
  const seen = tf.linalg.bandPart(tf.ones([context, context]), -1, 0);
  const top = tf.max(tf.sub(scores, tf.mul(tf.sub(1, seen), 2 ** 24)), -1, true);
  const below = tf.cast(tf.maximum(tf.sub(top, scores), 0), 'int32');
  const weights = tf.mul(weightsOf(below, table, shape.softmax), tf.cast(seen, 'int32'));
  const total = tf.sum(weights, -1, true);
  const high = floorQuotient(weights, int(LOW_WEIGHTS));
  const parts = [high, tf.sub(weights, tf.mul(high, int(LOW_WEIGHTS)))].map((part) =>
    tf.cast(tf.matMul(tf.cast(part, 'float32'), byHead(v, shape)), 'int32'),
  );
  const sums = tf.mul(tf.add(tf.mul(parts[0], int(LOW_WEIGHTS)), parts[1]), int(2 ** MIX_SHIFT));
  const half = floorQuotient(total, int(2));
  const mix = tf.mul(signOf(sums), floorQuotient(tf.add(magnitude(sums), half), total));
  const probabilities = tf.div(tf.cast(weights, 'float32'), tf.cast(total, 'float32'));
  return [tf.cast(byRow(clip(mix, I8_MAX), heads), 'float32'), probabilities];
}

/** int32 weights of scores that are so far below the largest. */
function weightsOf(below: tf.Tensor, table: tf.Tensor1D, { factor, range, shift }: SoftmaxScale): tf.Tensor {
  const int = (value: number) => tf.scalar(value, 'int32');
  const exponents = roundShift(tf.mul(tf.minimum(below, int(range)), int(factor)), EXPONENT_BITS);
  const parts = int(2 ** OCTAVE_BITS);
  const octaves = floorQuotient(exponents, parts);
  const powers = tf.tensor1d(
    Array.from({ length: OCTAVES_MAX + 1 }, (_, i) => 2 ** i),
    'int32',
  );
  return floorQuotient(
    tf.cast(tf.gather(table, tf.sub(exponents, tf.mul(octaves, parts))), 'int32'),
    tf.gather(powers, tf.minimum(tf.add(octaves, int(shift)), int(OCTAVES_MAX))),
  );
}

function backward(
  dsums: tf.Tensor2D,
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  probabilities: tf.Tensor,
  shape: AttentionShape,
  slope: number,
): tf.Tensor[] {
  const { heads, keyHeads } = shape;
  const d = byHead(dsums, shape);
  const dp = tf.matMul(d, byHead(v, shape), false, true);
  const mean = tf.sum(tf.mul(dp, probabilities), -1, true);
  const dscores = tf.mul(tf.mul(probabilities, tf.sub(dp, mean)), slope);
  const dq = tf.matMul(dscores, byHead(k, shape));
  const dk = tf.matMul(dscores, byHead(q, shape), true);
  const dv = tf.matMul(probabilities, d, true);
  return [byRow(dq, heads), byRow(dk, keyHeads), byRow(dv, keyHeads)];
}

/** [B · T, n · headSize] as [B, H, T, headSize]: shared heads once for each that shares them. */
function byHead(rows: tf.Tensor2D, { context, heads, headSize }: AttentionShape): tf.Tensor4D {
  const own = rows.shape[1] / headSize;
  const windows = rows.shape[0] / context;
  const split = tf.transpose(tf.reshape(rows, [windows, context, own, headSize]), [0, 2, 1, 3]);
  if (own === heads) return split as tf.Tensor4D;
  const repeated = tf.tile(tf.reshape(split, [windows, own, 1, context * headSize]), [
    ...[1, 1, heads / own, 1],
  ]);
  return tf.reshape(repeated, [windows, heads, context, headSize]) as tf.Tensor4D;
}

/** [B, H, T, headSize] as [B · T, n · headSize]: heads that share one are summed. */
function byRow(heads: tf.Tensor, own: number): tf.Tensor2D {
  const [windows, all, context, headSize] = heads.shape;
  const shared =
    all === own ? heads : tf.sum(tf.reshape(heads, [windows, own, all / own, context, headSize]), 2);
  return tf.reshape(tf.transpose(shared, [0, 2, 1, 3]), [windows * context, own * headSize]) as tf.Tensor2D;
}
