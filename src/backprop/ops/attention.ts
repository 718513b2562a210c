/**
 * Causal attention with grouped heads and the integer softmax (docs/transformer.md), to the bit, with the
 * gradient of the softmax that its integers approximate.
 */

import * as tf from '@tensorflow/tfjs-core';
import { FUSED, runFused } from '../kernels/fused.js';
import { withGradient } from './gradient.js';
import { ACTIVATION_LIMIT, clipped, unclipped } from './requantize.js';
import { floorQuotient, roundDiv, roundShift } from './rounding.js';

/** Fraction bits of a probability. */
export const PROBABILITY_BITS = 14;
/** Parts of an octave that a weight's exponent has. */
const OCTAVE = 256;
/** Weights are below 2^16: from so many octaves on they are zero. */
const OCTAVES_MAX = 16;

/** What `attention` needs of a model. */
export interface AttentionShape {
  /** T. */
  readonly context: number;
  /** H. */
  readonly heads: number;
  /** G, heads of keys and values; H is a multiple. */
  readonly groups: number;
  readonly headSize: number;
  /** Exponent of a weight: roundShift((top − score) · multiplier, shift), in 1/256 of an octave. */
  readonly exponent: { readonly multiplier: number; readonly shift: number };
  /** mix = clip(roundShift(Σ probability · value, mixShift)). */
  readonly mixShift: number;
}

/**
 * mix[B · T, H · headSize] of queries [B · T, H · headSize], and keys and values [B · T, G · headSize].
 * @param exp2 - [256] int32, the weights of the parts of an octave
 */
export function attention(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  exp2: tf.Tensor1D,
  shape: AttentionShape,
): tf.Tensor2D {
  const { exponent, mixShift, context, heads, groups, headSize } = shape;
  type Saved = [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor4D];
  return withGradient<tf.Tensor2D, Saved>(
    [q, k, v],
    () => {
      const sizes = { context, heads, groups, headSize };
      const attributes = { ...sizes, ...exponent, mixShift };
      const [value, probabilities] =
        runFused<tf.Tensor[]>(FUSED.attention, { q, k, v, exp2 }, attributes) ??
        tf.tidy(() => forward(q, k, v, exp2, shape));
      return { value: value as tf.Tensor2D, saved: [value, q, k, v, probabilities] as Saved };
    },
    (dmix, mix, queries, keys, values, probabilities) => {
      // d ln(weight) by a score, and what a unit of probability · value is of the mix.
      const slope = (Math.LN2 * exponent.multiplier) / 2 ** exponent.shift / OCTAVE;
      const scale = 1 / 2 ** mixShift;
      const inputs = { dmix, mix, q: queries, k: keys, v: values, probabilities };
      const attributes = { context, heads, groups, headSize, slope, scale };
      return (
        runFused<tf.Tensor[]>(FUSED.attentionGradient, inputs, attributes) ??
        backward(tf.mul(unclipped(dmix, mix), scale), queries, keys, values, probabilities, shape, slope)
      );
    },
  );
}

function forward(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  exp2: tf.Tensor1D,
  shape: AttentionShape,
): [tf.Tensor2D, tf.Tensor] {
  const { context, heads, exponent, mixShift } = shape;
  const scores = tf.matMul(byHead(q, shape), byHead(k, shape), false, true); // [B, H, T, T]
  const seen = tf.linalg.bandPart(tf.ones([context, context]), -1, 0);
  const top = tf.max(tf.sub(scores, tf.mul(tf.sub(1, seen), 2 ** 23)), -1, true);
  const below = tf.cast(tf.maximum(tf.sub(top, scores), 0), 'int32');
  const parts = roundShift(tf.mul(below, tf.scalar(exponent.multiplier, 'int32')), exponent.shift);
  const octave = tf.scalar(OCTAVE, 'int32');
  const octaves = floorQuotient(parts, octave);
  const powers = tf.tensor1d(
    Array.from({ length: OCTAVES_MAX + 1 }, (_, i) => 2 ** i),
    'int32',
  );
  const weights = floorQuotient(
    tf.gather(exp2, tf.sub(parts, tf.mul(octaves, octave))),
    tf.gather(powers, tf.minimum(octaves, tf.scalar(OCTAVES_MAX, 'int32'))),
  );
  const causal = tf.mul(weights, tf.cast(seen, 'int32'));
  const one = tf.scalar(2 ** PROBABILITY_BITS, 'int32');
  const probabilities = tf.cast(roundDiv(tf.mul(causal, one), tf.sum(causal, -1, true)), 'float32');
  const sums = tf.matMul(probabilities, byHead(v, shape));
  const mix = clipped(roundShift(tf.cast(byRow(sums, heads), 'int32'), mixShift), ACTIVATION_LIMIT);
  return [mix, probabilities];
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
  const { heads, groups } = shape;
  const d = byHead(dsums, shape);
  const dp = tf.matMul(d, byHead(v, shape), false, true);
  const mean = tf.div(tf.sum(tf.mul(dp, probabilities), -1, true), 2 ** PROBABILITY_BITS);
  const dscores = tf.mul(tf.mul(probabilities, tf.sub(dp, mean)), slope);
  const dq = tf.matMul(dscores, byHead(k, shape));
  const dk = tf.matMul(dscores, byHead(q, shape), true);
  const dv = tf.matMul(probabilities, d, true);
  return [byRow(dq, heads), byRow(dk, groups), byRow(dv, groups)];
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
    all === own
      ? heads
      : tf.sum(tf.reshape(heads, [windows, own, all / own, context, headSize]), 2);
  return tf.reshape(tf.transpose(shared, [0, 2, 1, 3]), [windows * context, own * headSize]) as tf.Tensor2D;
}
