/**
 * How a network lies in device memory, and how many rows are worked on at a time. Rows of
 * activations and of weights are filled up to 16 values, a vec4 of words, with zeros.
 */

import { isTernary, type Network } from '../../ternary/builders/perceptron.js';
import type { Room } from '../backend.js';

/** Values in a vec4 of words; a word of trits holds as many. */
export const VALUES_PER_VEC4 = 16;

/** A layer as kernels are made for it. */
export interface LayerPlan {
  /** M. */
  readonly units: number;
  /** N. */
  readonly inputs: number;
  /** Vec4s of a row of inputs, and of a row of weights as bytes; words of a row of trits. */
  readonly depth: number;
  /** Words of a row of activations that this layer gives. */
  readonly outputWords: number;
  /** Index of the first weight in the model's order. */
  readonly offset: number;
  /** Word in the buffer of weights where the layer begins; of bytes, a multiple of four. */
  readonly weightsAt: number;
  /** Index in the buffer of scales, or null. */
  readonly scalesAt: number | null;
  /** Whether weights are bytes, not trits. */
  readonly wide: boolean;
  /** Fraction bits of the weights. */
  readonly shift: number;
}

/** Sizes of the buffers that a placed network has. */
export interface NetworkPlan {
  readonly layers: readonly LayerPlan[];
  readonly ternary: boolean;
  readonly weightWords: number;
  readonly scaleCount: number;
  /** Words of all latents, four to a word. */
  readonly latentWords: number;
  /** Examples of a batch, filled up to 16. */
  readonly batchStride: number;
  /** Examples that are worked on at a time: a multiple of 16. */
  readonly tile: number;
  /** Probes of one group of 16 that are worked on at a time. */
  readonly probes: number;
  /** Disturbed copies of examples that are worked on at a time; 0: there are none. */
  readonly copies: number;
  /** Words of the widest row of activations, and the most units of a hidden layer. */
  readonly widestWords: number;
  readonly widestHidden: number;
  readonly widest: number;
}

/** One workgroup takes one row, and a dispatch 65,535 of them. */
const ROWS_MAX = 32_768;
/** Directions whose weights `alignWeights` tries at a time, for small batches. */
const DIRECTIONS_AT_A_TIME = 32;

/**
 * Lays out a network with its room.
 * @param workBytes - work memory of one kind stays below it, except where a single tile of 16 examples is larger
 */
export function planNetwork(network: Network, room: Room, workBytes: number): NetworkPlan {
  let weightsAt = 0;
  let scalesAt = 0;
  const layers = network.layers.map(({ weights, largest, shift, scale }): LayerPlan => {
    const { rows, columns, offset } = weights;
    const depth = Math.ceil(columns / VALUES_PER_VEC4);
    const wide = largest > 1;
    const at = wide ? roundUp(weightsAt, 4) : weightsAt;
    weightsAt = at + rows * depth * (wide ? 4 : 1);
    const layer: LayerPlan = {
      ...{ units: rows, inputs: columns, depth, outputWords: 4 * Math.ceil(rows / VALUES_PER_VEC4) },
      ...{ offset, weightsAt: at, scalesAt: scale && scalesAt, wide, shift },
    };
    if (scale) scalesAt += rows;
    return layer;
  });
  const ternary = isTernary(network);
  const batchStride = roundUp(room.batch, VALUES_PER_VEC4);
  const widest = Math.max(...layers.map(({ units }) => units));
  const rowsMax = Math.max(32, Math.min(ROWS_MAX, Math.floor(workBytes / (4 * widest))));
  // A tile of 16 examples with both sides of each probe must fit; more probes go one after another.
  const probes = Math.min(
    room.probes === undefined ? 0 : Math.max(1, room.probes),
    16,
    Math.floor(rowsMax / 32),
  );
  const copiesOf = Math.max(2 * probes, room.weights ? 2 : 0, 1);
  const most = Math.floor(rowsMax / copiesOf / VALUES_PER_VEC4) * VALUES_PER_VEC4;
  const tile = Math.max(VALUES_PER_VEC4, Math.min(batchStride, most));
  const copies = Math.max(
    2 * probes * tile,
    room.weights ? Math.min(rowsMax, 2 * DIRECTIONS_AT_A_TIME * tile) : 0,
  );
  return {
    ...{ layers, ternary, weightWords: weightsAt, scaleCount: scalesAt },
    latentWords: ternary ? Math.ceil(network.parameters / 4) : 0,
    ...{ batchStride, tile, probes, copies, widest },
    widestWords: Math.max(...layers.map(({ outputWords }) => outputWords)),
    widestHidden: Math.max(1, ...layers.slice(0, -1).map(({ units }) => units)),
  };
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
