/**
 * Where everything lies in the memory that the kernels share: the fields of the structures in
 * assembly/control.ts, in their order, and the addresses of all buffers. Beside weights and
 * latents a network takes one batch of inputs, one batch of activations and errors
 * where `nodes` needs them, and a scratch for one tile of 32 examples a thread.
 */

import { isTernary, type Network } from '../../ternary/network.js';
import type { MemoryUse, Room } from '../backend.js';
import { Layout, roundUp } from './layout.js';

/** Examples of a tile, as in assembly/control.ts. */
export const TILE = 32;

/** Tables of a segment, their inputs and their bytes, as in assembly/tables.ts. */
const SEGMENT_GROUPS = 16;
const SEGMENT_COLUMNS = 3 * SEGMENT_GROUPS;
const SEGMENT_TABLES = SEGMENT_GROUPS * 27 * TILE * 2;

/** Bytes of the lists of sixteen columns, as in assembly/alignment.ts. */
const PAIRS_BYTES = 16 * (16 + (2 * 128 + 16) + (4 * 128 + 16));

/** Fields of the Control block. */
export const CONTROL = [
  'generation',
  'job',
  'nextTile',
  'tiles',
  'running',
  'batch',
  'batchStride',
  'layers',
  'layer',
  'gain',
  'centred',
  'logitScale',
  'classes',
  'exp2',
  'log2',
  'inputs',
  'labels',
  'losses',
  'predictions',
  'logits',
  'scratch',
  'scratchStride',
  'key0',
  'key1',
  'step',
  'probes',
  'sigma',
  'rewardShift',
  'rewardLimit',
  'firstRow',
  'cut',
  'sets',
  'set',
  'coefficients',
  'alignments',
  'alignmentCount',
  'directions',
  'directionStart',
  'entries',
  'text',
] as const;
export type ControlField = (typeof CONTROL)[number];

/** Words of a DirectionSet and of an Entry. */
export const SET_WORDS = 18;
export const ENTRY_WORDS = 4;

/** Fields of a Scratch. */
const SCRATCH_WORDS = 15;
const SCALE_BYTES = 16;

/** Fields of a Layer. */
export const LAYER = [
  'rows',
  'columns',
  'inputStride',
  'paddedRows',
  'outputStride',
  'weights',
  'transposed',
  'codes',
  'latents',
  'shift',
  'wide',
  'rowScales',
  'inputs',
  'errors',
  'live',
  'sums',
  'outputs',
  'scales',
] as const;

/** A layer's shape with its strides and the addresses of its buffers. */
export type LayerPlan = Readonly<Record<(typeof LAYER)[number], number>>;

/** Addresses of everything that has a fixed size. */
export interface MemoryPlan {
  readonly control: number;
  readonly layer: number;
  readonly layers: readonly LayerPlan[];
  readonly exp2: number;
  readonly log2: number;
  readonly inputs: number;
  readonly labels: number;
  readonly losses: number;
  readonly predictions: number;
  readonly logits: number;
  readonly batchStride: number;
  readonly scratch: number;
  readonly scratchStride: number;
  /** [SCRATCH_WORDS], the offsets that stand at the start of each thread's scratch. */
  readonly scratchOffsets: Int32Array;
  /** First free byte: the arguments of jobs follow, and grow the memory where they must. */
  readonly end: number;
  /** Bytes of what belongs to weights, latents and one batch; the rest is work. */
  readonly use: Pick<MemoryUse, 'weights' | 'latents' | 'batch'>;
}

/** Lays out the memory of a network with its room on so many threads. */
export function planMemory(network: Network, room: Room, threads: number): MemoryPlan {
  const { layers: shapes, widths } = network;
  const ternary = isTernary(network);
  const probes = room.probes === undefined ? 0 : Math.max(1, room.probes);
  const batchStride = roundUp(room.batch, TILE);
  const widestOutput = Math.max(...shapes.map(({ weights }) => roundUp(weights.rows, 16)));

  const scratch = new Layout(roundUp(SCRATCH_WORDS * 4, 64));
  const scratchOffsets = Int32Array.of(
    scratch.take(TILE * 4), // losses
    scratch.take(probes * TILE * 4), // rewards
    scratch.take(probes * TILE * 4), // signSums
    scratch.take(TILE * widestOutput * 4), // sums
    scratch.take(TILE * widestOutput), // outputsA
    scratch.take(TILE * widestOutput), // outputsB
    scratch.take(probes * TILE * widestOutput), // signs
    scratch.take(probes ? 16 * widestOutput * 4 : 0), // products
    scratch.take(probes ? PAIRS_BYTES : 0), // pairs
    scratch.take(room.weights ? widestOutput * 8 : 0), // changes
    scratch.take(32), // words
    scratch.take(512), // block
    scratch.take(SEGMENT_COLUMNS * TILE), // segment
    scratch.take(SEGMENT_TABLES), // tables
    scratch.take(widestOutput * TILE * 2), // tableSums
  );

  const layout = new Layout(64);
  const use = { weights: 0, latents: 0, batch: 0 };
  /** Takes bytes and counts them as what they are used for. */
  const takeFor = (purpose: keyof typeof use, bytes: number): number => {
    const address = layout.take(bytes);
    use[purpose] += layout.end - address; // with the fill up to the next line
    return address;
  };
  const control = layout.take(CONTROL.length * 4);
  const layer = layout.take(shapes.length * LAYER.length * 4);
  const exp2 = layout.take(257 * 4);
  const log2 = layout.take(257 * 4);
  const inputs = takeFor('batch', batchStride * roundUp(widths[0], 16));
  const layers = shapes.map(({ weights, largest, shift, scale }, index): LayerPlan => {
    const { rows, columns } = weights;
    const inputStride = roundUp(columns, 16);
    const outputStride = roundUp(rows, 16);
    const paddedRows = roundUp(rows, 4);
    return {
      rows,
      columns,
      inputStride,
      paddedRows,
      outputStride,
      weights: takeFor('weights', paddedRows * inputStride),
      transposed: room.weights ? takeFor('weights', columns * outputStride) : 0,
      codes:
        largest > 1
          ? 0
          : takeFor('weights', Math.ceil(columns / SEGMENT_COLUMNS) * rows * SEGMENT_GROUPS * 2),
      latents: ternary ? takeFor('latents', rows * columns) : 0,
      shift,
      wide: largest > 1 ? 1 : 0,
      rowScales: scale ? takeFor('weights', outputStride * 4) : 0,
      inputs: index === 0 ? inputs : probes ? takeFor('batch', inputStride * batchStride) : 0,
      errors: probes ? takeFor('batch', outputStride * batchStride * 2) : 0,
      live: probes ? takeFor('batch', batchStride) : 0,
      sums: scratch.take(TILE * outputStride * 4),
      outputs: scratch.take(TILE * outputStride),
      scales: scratch.take(TILE * SCALE_BYTES),
    };
  });
  const labels = takeFor('batch', batchStride);
  const losses = takeFor('batch', batchStride * 4);
  const predictions = takeFor('batch', batchStride);
  const logits = takeFor('batch', batchStride * roundUp(widths.at(-1) as number, 16) * 4);
  const scratchAt = layout.take(threads * scratch.end);
  return {
    ...{ control, layer, layers, exp2, log2, inputs, labels, losses, predictions, logits, batchStride },
    ...{ scratch: scratchAt, scratchStride: scratch.end, scratchOffsets, end: layout.end, use },
  };
}

/** The words of a Layer structure, in the order of its fields. */
export function layerWords(layer: LayerPlan): number[] {
  return LAYER.map((field) => layer[field]);
}
