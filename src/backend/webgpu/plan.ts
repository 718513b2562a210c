/**
 * How tensors lie in device memory, and how many rows are worked on at a time. Rows of activations
 * and of weights are filled up to 16 values, a vec4 of words, with zeros.
 */

import type { Graph, Slot } from '../../ternary/graph.js';
import type { Room } from '../backend.js';

/** Probes whose signs share a word. */
export const PROBES_PER_GROUP = 16;
/** Values in a vec4 of words; a word of trits holds as many. */
const VALUES_PER_VEC4 = 16;

/** A tensor in device memory. Its places are words. */
export interface PlacedTensor {
  readonly rows: number;
  readonly columns: number;
  /** Index of the first value in the model's order. */
  readonly offset: number;
  /** Vec4s of a row as bytes, and so of a row of inputs; words of a row of trits. */
  readonly depth: number;
  /** Where its values begin; of bytes, a multiple of four. */
  readonly at: number;
  /** Where its latents begin, a byte each. */
  readonly latentsAt: number;
  /** Whether values are bytes, not trits. */
  readonly wide: boolean;
}

/** Lays out the tensors of a model one after another. */
export function placeTensors({ tensors }: Graph): {
  readonly placed: readonly PlacedTensor[];
  readonly valueWords: number;
  readonly latentWords: number;
} {
  let valueWords = 0;
  let latentWords = 0;
  const placed = tensors.map(({ rows, columns, offset, values }): PlacedTensor => {
    const depth = Math.ceil(columns / VALUES_PER_VEC4);
    const wide = values !== 'trit';
    const at = wide ? roundUp(valueWords, 4) : valueWords;
    const latentsAt = latentWords;
    valueWords = at + rows * depth * (wide ? 4 : 1);
    latentWords += Math.ceil((rows * columns) / 4);
    return { rows, columns, offset, depth, at, latentsAt, wide };
  });
  return { placed, valueWords: roundUp(valueWords, 4), latentWords };
}

/** How many rows are worked on at a time. */
export interface RowPlan {
  /** Undisturbed rows: whole windows. */
  readonly rows: number;
  /** Probes of one group whose copies of all rows go together. */
  readonly probes: number;
  /** Disturbed copies; 0: there are none. */
  readonly copies: number;
}

/** Quads of rows are counted in one dimension of a dispatch, which has 65,535 workgroups at most. */
const ROWS_MAX = 2 ** 16;
/** Directions whose weights `alignWeights` tries at a time, for small batches. */
const DIRECTIONS_AT_A_TIME = 32;

/**
 * @param workBytes - work memory of one kind stays below it, except where a single window and its copies take more
 */
export function planRows(graph: Graph, room: Room, workBytes: number): RowPlan {
  const { context, slots } = graph;
  const widest = Math.max(...slots.slice(1).map(wordsOf));
  const most = Math.min(ROWS_MAX, Math.floor(workBytes / (4 * widest)));
  const disturbs = room.probes !== undefined || room.weights === true;
  const windows = Math.floor((disturbs ? most / 2 : most) / context);
  const rows = context * Math.max(1, Math.min(room.batch, windows));
  const wanted = Math.min(PROBES_PER_GROUP, Math.floor(most / (2 * rows)), room.probes ?? 0);
  const probes = Math.max(1, wanted);
  const tried = room.weights ? Math.max(2 * rows, Math.min(most, 2 * DIRECTIONS_AT_A_TIME * rows)) : 0;
  return { rows, probes, copies: Math.max(room.probes === undefined ? 0 : 2 * probes * rows, tried) };
}

/** Words of a row of a slot. */
export function wordsOf({ kind, width }: Slot): number {
  return isPacked(kind) ? packedWords(width) : width;
}

/** Whether the activations of a slot lie four to a word; others take one each. */
export function isPacked(kind: Slot['kind']): boolean {
  return kind === 'u7' || kind === 'i8';
}

/** Words of a row of activations of a byte each. */
export function packedWords(units: number): number {
  return 4 * Math.ceil(units / VALUES_PER_VEC4);
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
