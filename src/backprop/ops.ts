/** The registry of the operations that can be differentiated, and the run of a program in TensorFlow.js. */

import * as tf from '@tensorflow/tfjs-core';
import { attentionSte } from '../ops/attention/ste.js';
import { embeddingSte } from '../ops/embedding/ste.js';
import { gateSte } from '../ops/gate/ste.js';
import { linearSte } from '../ops/linear/ste.js';
import { logitsSte } from '../ops/logits/ste.js';
import { type BatchLoss, lossSte } from '../ops/loss/ste.js';
import { normalizeSte } from '../ops/normalize/ste.js';
import { rescaleSte } from '../ops/rescale/ste.js';
import { residualSte } from '../ops/residual/ste.js';
import { rmsNormSte } from '../ops/rms-norm/ste.js';
import { rotarySte } from '../ops/rotary/ste.js';
import type { Rescaling, SteOp } from '../ops/ste.js';
import type { AnyOp, Graph, OpName } from '../ternary/graph.js';

const STE_OPS: { readonly [N in OpName]: SteOp<N> } = {
  linear: linearSte,
  normalize: normalizeSte,
  'rms-norm': rmsNormSte,
  embedding: embeddingSte,
  rescale: rescaleSte,
  residual: residualSte,
  rotary: rotarySte,
  attention: attentionSte,
  gate: gateSte,
  logits: logitsSte,
  loss: lossSte,
};

/** A model's values as training has them. */
export interface Integers {
  /** By tensor: integers in float32, [M, N], or [M] of the scales of rows; none of the model's scales. */
  readonly tensors: readonly (tf.Tensor | undefined)[];
  /** The rows of the tensor `scales`, of a model that has it. */
  readonly scales: readonly Rescaling[];
}

/** A batch on the device. */
export interface BatchTensors {
  /** [rows, width] float32, or [rows] int32 of bytes. */
  readonly inputs: tf.Tensor;
  /** [rows] int32. */
  readonly labels: tf.Tensor1D;
  /** Rows that see each other. */
  readonly length: number;
}

/** Runs a model's program in TensorFlow.js: its forward pass to the bit, its loss in float32, differentiable. */
export class SteProgram {
  readonly #kept = new Map<string, Record<string, tf.Tensor>>();

  constructor(readonly graph: Graph) {}

  /** Loss of a batch; differentiable by the integers. */
  loss({ tensors, scales }: Integers, { inputs, labels, length }: BatchTensors): BatchLoss {
    const slots: tf.Tensor[] = [inputs];
    const keep = <Kept extends Record<string, tf.Tensor>>(name: string, make: () => Kept): Kept => {
      const known = this.#kept.get(name);
      if (known) return known as Kept;
      const made = make();
      for (const tensor of Object.values(made)) tf.keep(tensor);
      this.#kept.set(name, made);
      return made;
    };
    for (const op of this.graph.program) {
      const results = (STE_OPS[op.op] as SteOp<OpName>)(op as AnyOp, {
        graph: this.graph,
        length,
        labels,
        keep,
        input: <T extends tf.Tensor>(i: number) => slots[op.inputs[i]] as T,
        tensor: <T extends tf.Tensor>(i: number) => tensors[op.tensors[i]] as T,
        rescaling: (scale) => scales[scale],
      });
      if (op.op === 'loss') return batchLoss(results);
      op.outputs.forEach((slot, i) => (slots[slot] = results[i]));
    }
    throw new RangeError('a program ends with a loss');
  }

  /** Frees the tables. */
  dispose(): void {
    for (const tables of this.#kept.values()) tf.dispose(Object.values(tables));
  }
}

function batchLoss([loss, losses, hits]: readonly tf.Tensor[]): BatchLoss {
  return { loss: loss as tf.Scalar, losses: losses as tf.Tensor1D, hits: hits as tf.Tensor1D };
}

/** Inputs and labels on the device. */
export function batchTensors(
  graph: Graph,
  { inputs, labels, length }: { inputs: Uint8Array; labels: Uint8Array; length: number },
): BatchTensors {
  const [{ kind, width }] = graph.slots;
  const bytes = () => tf.tensor1d(Int32Array.from(inputs), 'int32');
  const values = () => tf.tensor2d(Float32Array.from(inputs), [labels.length, width]);
  return {
    inputs: kind === 'byte' ? bytes() : values(),
    labels: tf.tensor1d(Int32Array.from(labels), 'int32'),
    length,
  };
}
