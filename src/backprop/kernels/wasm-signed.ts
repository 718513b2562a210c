/**
 * Fused kernels of i8 activations for TensorFlow.js's wasm backend: which tensors and numbers each takes.
 * Their source is assembly/{signed,requantize,rms-norm,attention,gate,tokens}.ts. Sizes that they do not take are
 * composed of TensorFlow.js's own operations.
 */

import type * as tf from '@tensorflow/tfjs-core';
import { FUSED, type FusedKernel, type FusedName } from './fused.js';

export type Inputs = Record<string, tf.TensorInfo>;
export type Attributes = Record<string, number>;

/** The backend's memory as kernels use it. */
export interface KernelMemory {
  /** The address of a tensor. */
  at(tensor: tf.TensorInfo): number;
  /** A new tensor of float32. */
  output(...shape: number[]): tf.TensorInfo;
  /** Values of a tensor. */
  sizeOf(tensor: tf.TensorInfo): number;
  /** Runs with bytes that are free again afterwards. */
  withScratch(bytes: number, run: (scratch: number) => void): void;
}

/** What those files export; addresses are bytes, lengths elements. */
export type SignedExports = Record<
  | 'signedLinearScratch'
  | 'signedLinear'
  | 'requantize'
  | 'requantizeGradient'
  | 'addToStream'
  | 'rotate'
  | 'rotateGradient'
  | 'rmsNorm'
  | 'rmsNormGradient'
  | 'attentionScratch'
  | 'attention'
  | 'attentionGradient'
  | 'gated'
  | 'gatedGradient'
  | 'hiddenUnits'
  | 'embed'
  | 'embedGradient'
  | 'softmax'
  | 'softmaxGradient',
  (...values: number[]) => number
>;

type Kernel = (inputs: Inputs, attributes: Attributes) => tf.TensorInfo | tf.TensorInfo[];

/** The length of a tensor's rows. */
const rowOf = ({ shape }: tf.TensorInfo) => shape.at(-1) as number;

/**
 * Of the kernels that take four values at a time, what must be a multiple of four: with other sizes they would read
 * and write past an end. `attention` takes windows of any length.
 */
const FOURS: Partial<Record<FusedName, (inputs: Inputs, attributes: Attributes) => number>> = {
  [FUSED.requantize]: ({ sums }) => rowOf(sums),
  [FUSED.requantizeGradient]: ({ y }) => rowOf(y),
  [FUSED.addToStream]: ({ sums }) => rowOf(sums),
  [FUSED.rotate]: ({ cosines }) => rowOf(cosines),
  [FUSED.rotateGradient]: ({ cosines }) => rowOf(cosines),
  [FUSED.rmsNorm]: ({ x }) => rowOf(x),
  [FUSED.rmsNormGradient]: ({ x }) => rowOf(x),
  [FUSED.attention]: (_, { headSize }) => headSize,
  [FUSED.attentionGradient]: (_, { headSize }) => headSize,
  [FUSED.hiddenUnits]: ({ gate }) => rowOf(gate),
  [FUSED.gated]: ({ gate }) => rowOf(gate),
  [FUSED.gatedGradient]: ({ gate }) => rowOf(gate),
  [FUSED.embedGradient]: ({ dx }) => rowOf(dx),
  [FUSED.softmax]: ({ logits }) => rowOf(logits),
  [FUSED.softmaxGradient]: ({ probabilities }) => rowOf(probabilities),
};

/** Whether a kernel takes sizes, by its name. */
export function takesSizes(name: FusedName): FusedKernel['takes'] {
  const four = FOURS[name];
  return four && ((inputs, attributes) => four(inputs, attributes as Attributes) % 4 === 0);
}

/** The kernels by their names in TensorFlow.js's registry. */
export function signedKernels(
  { at, output, sizeOf, withScratch }: KernelMemory,
  exports: SignedExports,
): Record<string, Kernel> {
  const like = ({ shape }: tf.TensorInfo) => output(...shape);

  return {
    [FUSED.signedLinear]: ({ x, q }, { wide }) => {
      const [batch, inputs] = x.shape;
      const [outputs] = q.shape;
      const z = output(batch, outputs);
      withScratch(exports.signedLinearScratch(inputs, outputs), (scratch) => {
        exports.signedLinear(at(x), at(q), batch, inputs, outputs, wide, at(z), scratch);
      });
      return z;
    },
    [FUSED.requantize]: ({ sums }, { multiplier, shift, before, after, limit }) => {
      const y = like(sums);
      const numbers = [before, multiplier, shift, after, limit];
      exports.requantize(at(sums), sizeOf(sums), ...numbers, at(y));
      return y;
    },
    [FUSED.requantizeGradient]: ({ dy, y }, { factor, limit }) => {
      const dsums = like(y);
      exports.requantizeGradient(at(dy), at(y), sizeOf(y), factor, limit, at(dsums));
      return dsums;
    },
    [FUSED.addToStream]: ({ x, sums, units }, { multiplier, shift }) => {
      const y = like(sums);
      const [rows, columns] = sums.shape;
      const given = [x ? at(x) : 0, at(sums), units ? at(units) : 0];
      exports.addToStream(...given, rows, columns, multiplier, shift, at(y));
      return y;
    },
    [FUSED.rotate]: ({ sums, cosines, sines }, { multiplier, shift }) => {
      const y = like(sums);
      const [rows, units] = sums.shape;
      const tables = [at(cosines), at(sines), ...cosines.shape];
      exports.rotate(at(sums), rows, units, multiplier, shift, ...tables, at(y));
      return y;
    },
    [FUSED.rotateGradient]: ({ dy, y, cosines, sines }, { factor }) => {
      const dsums = like(y);
      const [rows, units] = y.shape;
      const tables = [at(cosines), at(sines), ...cosines.shape];
      exports.rotateGradient(at(dy), at(y), rows, units, factor, ...tables, at(dsums));
      return dsums;
    },
    [FUSED.rmsNorm]: ({ x }, { gain, bits }) => {
      const n = like(x);
      const [rows, width] = x.shape;
      exports.rmsNorm(at(x), rows, width, gain, bits, at(n));
      return n;
    },
    [FUSED.rmsNormGradient]: ({ dn, x, n }, { unit }) => {
      const dx = like(x);
      const [rows, width] = x.shape;
      exports.rmsNormGradient(at(dn), at(x), at(n), rows, width, unit, at(dx));
      return dx;
    },
    [FUSED.attention]: ({ q, k, v, table }, attributes) => {
      const { context, heads, keyHeads, headSize, factor, range, weightShift, mixBits } = attributes;
      const windows = q.shape[0] / context;
      const mix = like(q);
      const probabilities = output(windows, heads, context, context);
      const given = [at(q), at(k), at(v), windows, context, heads, keyHeads, headSize];
      withScratch(exports.attentionScratch(context, headSize), (scratch) => {
        const numbers = [at(table), factor, range, weightShift, mixBits];
        exports.attention(...given, ...numbers, at(mix), at(probabilities), scratch);
      });
      return [mix, probabilities];
    },
    [FUSED.attentionGradient]: ({ dmix, mix, q, k, v, probabilities }, attributes) => {
      const { context, heads, keyHeads, headSize, slope, scale } = attributes;
      const [dq, dk, dv] = [like(q), like(k), like(v)];
      const given = [at(dmix), at(mix), at(q), at(k), at(v), at(probabilities)];
      const sizes = [q.shape[0] / context, context, heads, keyHeads, headSize];
      withScratch(exports.attentionScratch(context, headSize), (scratch) => {
        exports.attentionGradient(...given, ...sizes, slope, scale, at(dq), at(dk), at(dv), scratch);
      });
      return [dq, dk, dv];
    },
    [FUSED.hiddenUnits]: ({ gate, up, values }, { scale }) => {
      const [rows, columns] = gate.shape;
      const units = output(rows, 1);
      exports.hiddenUnits(at(gate), at(up), rows, columns, at(values), scale, at(units));
      return units;
    },
    [FUSED.gated]: ({ gate, up, units, values }, { scale }) => {
      const hidden = like(gate);
      const [rows, columns] = gate.shape;
      exports.gated(at(gate), at(up), at(units), rows, columns, at(values), scale, at(hidden));
      return hidden;
    },
    [FUSED.gatedGradient]: ({ dhidden, gate, up, units, values, slopes }, { scale }) => {
      const [dgate, dup] = [like(gate), like(up)];
      const given = [at(dhidden), at(gate), at(up), at(units), ...gate.shape, at(values), at(slopes)];
      exports.gatedGradient(...given, scale, at(dgate), at(dup));
      return [dgate, dup];
    },
    [FUSED.embed]: ({ table, tokens }) => {
      const [rows, width] = [sizeOf(tokens), table.shape[1]];
      const x = output(rows, width);
      exports.embed(at(tokens), at(table), rows, width, at(x));
      return x;
    },
    [FUSED.embedGradient]: ({ dx, tokens }, { vocabulary }) => {
      const [rows, width] = dx.shape;
      const dtable = output(vocabulary, width);
      exports.embedGradient(at(tokens), at(dx), rows, width, vocabulary, at(dtable));
      return dtable;
    },
    [FUSED.softmax]: ({ logits, labels }, { octaves }) => {
      const [rows, classes] = logits.shape;
      const results = [like(logits), output(rows), output(rows), output(rows)];
      exports.softmax(at(logits), at(labels), rows, classes, octaves, ...results.map(at));
      return results;
    },
    [FUSED.softmaxGradient]: ({ probabilities, labels }, { factor }) => {
      const [rows, classes] = probabilities.shape;
      const dlogits = like(probabilities);
      exports.softmaxGradient(at(probabilities), at(labels), rows, classes, factor, at(dlogits));
      return dlogits;
    },
  };
}
