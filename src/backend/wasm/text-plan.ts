/**
 * Where everything of a transformer lies in the memory that the kernels share: the fields of its structures in
 * assembly/text.ts, in their order, and the addresses of all arrays. Each thread has a scratch for one window.
 */

import { SOFTMAX } from '../../ops/attention/op.js';
import { EXP2, LOG2 } from '../../ops/loss/op.js';
import { SILU } from '../../ops/gate/op.js';
import { type ScaledMatrix, type Transformer, VOCABULARY } from '../../ternary/transformer.js';
import type { Room } from '../backend.js';
import { Layout, roundUp } from './layout.js';
import { CONTROL } from './memory-plan.js';

/** Fields of Text in assembly/text.ts. */
export const TEXT = [
  ...['width', 'stride', 'hidden', 'hiddenStride', 'heads', 'keyHeads', 'headSize', 'keyStride'],
  ...[
    'factor',
    'range',
    'shift',
    'headShift',
    'gain',
    'valueBits',
    'applications',
    'order',
    'matrices',
    'head',
  ],
  ...[
    'cosines',
    'sines',
    'softmax',
    'silu',
    'length',
    'inputs',
    'labels',
    'keepLogits',
    'caches',
    'cacheBytes',
  ],
  ...['x', 'n', 'z', 'z2', 'q', 'keys', 'values', 'mix', 'h', 'coarser', 'weights', 'sums', 'zStride'],
  ...[
    'alignments',
    'alignmentCount',
    'firstWeights',
    'horizon',
    'kept',
    'keptStride',
    'keptY',
    'keptN',
    'keptN2',
  ],
  ...['keptQ', 'keptKeys', 'keptValues', 'keptMix', 'keptH', 'keptCoarser'],
  ...['base', 'other', 'sizes', 'signs', 'errors', 'pairs', 'errorPairs', 'plus', 'minus', 'words'],
] as const;
/** Words of a Matrix there. */
export const MATRIX_WORDS = 7;

/** Where the parts of the memory begin. */
export type TextPlan = ReturnType<typeof planText>;

/** Lays out the memory of a transformer with its room on so many threads. */
export function planText(model: Transformer, { batch: windows, probes }: Room, threads: number) {
  const align = probes !== undefined;
  const layout = new Layout(64); // an address of 0 is none
  const take = (bytes: number) => layout.take(bytes);
  const { width, hidden, context, keyHeads, headSize, embed, layers, head } = model;
  const control = take(4 * CONTROL.length);
  const text = take(4 * TEXT.length);
  const scaled: ScaledMatrix[] = [embed, ...layers.flatMap((block) => Object.values(block)), head];
  const matrixWords = take(4 * MATRIX_WORDS * scaled.length);
  const matrices = scaled.map((matrix) => {
    const { rows, columns, values } = matrix.weights;
    const stride = roundUp(columns, 16);
    return { matrix, stride, wide: values !== 'trit', address: take(roundUp(rows, 4) * stride) };
  });
  const weightsEnd = layout.end;
  const strides = {
    stride: roundUp(width, 16),
    hiddenStride: roundUp(hidden, 16),
    keyStride: roundUp(keyHeads * headSize, 16),
    zStride: roundUp(Math.max(VOCABULARY, width, hidden), 16),
  };
  const cacheBytes = context * strides.keyStride + 16; // a load of eight may reach past the last head
  const tables = {
    exp2: take(4 * EXP2.length),
    log2: take(4 * LOG2.length),
    cosines: take(context * headSize),
    sines: take(context * headSize),
    softmax: take(2 * SOFTMAX.length),
    silu: take(2 * SILU.length),
    order: take(4 * model.order.length),
  };
  const batch = {
    inputs: take(windows * context),
    labels: take(windows * context),
    losses: take(4 * windows * context),
    predictions: take(windows * context),
    logits: take(4 * VOCABULARY),
    caches: take(2 * model.order.length * roundUp(cacheBytes, 64)),
  };
  const alignmentCount = align ? weightsEnd - matrices[0].address : 0;
  const alignments = take(4 * threads * alignmentCount);
  const scratch = new Layout();
  const own = (bytes: number) => scratch.take(bytes);
  const offsets = {
    x: own(4 * context * strides.stride),
    n: own(context * strides.stride),
    z: own(4 * context * strides.zStride),
    z2: own(4 * context * strides.zStride),
    q: own(context * strides.stride),
    keys: own(cacheBytes),
    values: own(cacheBytes),
    mix: own(context * strides.stride),
    h: own(context * strides.hiddenStride),
    coarser: own(4 * context),
    weights: own(4 * context),
    sums: own(4 * roundUp(headSize, 16)),
    cacheBytes: roundUp(cacheBytes, 64),
    ...(align ? planKept(model, strides, own) : {}),
  };
  return {
    control,
    text,
    matrixWords,
    matrices,
    weights: weightsEnd - matrices[0].address,
    strides,
    offsets,
    ...tables,
    ...batch,
    scratch: take(threads * scratch.end),
    scratchStride: scratch.end,
    end: layout.end,
    alignments,
    alignmentCount,
  };
}

/** Room for what node perturbation keeps of a pass, and for one site that it disturbs: offsets in a scratch. */
function planKept(
  { context, order }: Transformer,
  { stride, hiddenStride, keyStride, zStride }: Readonly<Record<string, number>>,
  own: (bytes: number) => number,
) {
  const application = new Layout();
  const within = (bytes: number) => application.take(bytes);
  within(4 * context * stride); // the residual stream before the block
  const kept = {
    keptY: within(4 * context * stride),
    keptN: within(context * stride),
    keptN2: within(context * stride),
    keptQ: within(context * stride),
    keptKeys: within(context * keyStride),
    keptValues: within(context * keyStride),
    keptMix: within(context * stride),
    keptH: within(context * hiddenStride),
    keptCoarser: within(4 * context),
  };
  const halves = roundUp(context, 2) / 2;
  return {
    ...kept,
    keptStride: application.end,
    kept: own(order.length * application.end),
    base: own(4 * context * zStride),
    other: own(4 * context * zStride),
    sizes: own(4 * context),
    signs: own(context * zStride),
    errors: own(2 * context * zStride),
    pairs: own(4 * halves * zStride),
    errorPairs: own(4 * zStride * halves),
    plus: own(4 * context),
    minus: own(4 * context),
    words: own(16),
  };
}
