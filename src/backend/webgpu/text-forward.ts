/**
 * The forward pass of a transformer on a device: its weights and tables there, and what records the kernels of a
 * pass, or of a part of one. Rows are positions of whole windows, or disturbed copies of them, or the one of a text
 * that grows.
 */

import { SOFTMAX, softmaxScale } from '../../ops/attention/op.js';
import { EXP2, LOG2 } from '../../ops/loss/tables.js';
import { rmsGain, rmsValueBits } from '../../ops/rms-norm/op.js';
import { rotaryTables } from '../../ops/rotary/op.js';
import { SILU } from '../../ops/gate/op.js';
import type { ScaledMatrix, Transformer, TransformerBlock } from '../../ternary/builders/transformer.js';
import { VOCABULARY } from '../../ternary/units.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import { mixKernel, scoresKernel, weightsKernel } from './kernels/attention.js';
import { type Kernel, linearGroups } from './kernels/kernel.js';
import { DIRECT_DEPTH_MAX, DIRECT_SIZE, linearKernel } from './kernels/linear.js';
import { LOSS_SIZE, lossKernel, lossTables } from './kernels/loss.js';
import { tileCounts, TILE_SIDE } from './kernels/tile.js';
import {
  addHiddenKernel,
  addKernel,
  embedKernel,
  gateKernel,
  ITEMS,
  logitsKernel,
  narrowKernel,
  normKernel,
  scaleKernel,
  turnKernel,
} from './kernels/transformer.js';
import { roundUp, VALUES_PER_VEC4 } from './plan.js';
import type { Recorder } from './recorder.js';
import { packLayer } from './trits.js';

/** A matrix in device memory, and what brings its sums to their unit. */
interface PlacedMatrix {
  readonly units: number;
  readonly inputs: number;
  /** Vec4s of a row of inputs. */
  readonly depth: number;
  /** Word where it begins. */
  readonly weightsAt: number;
  readonly wide: boolean;
  readonly scale: number;
  readonly offset: number;
}

/** Room for rows on their way. */
export interface Activations {
  /** The residual stream. */
  readonly x: DeviceBuffer;
  readonly n: DeviceBuffer;
  /** Sums, and those of `up`. */
  readonly z: DeviceBuffer;
  readonly z2: DeviceBuffer;
  readonly q: DeviceBuffer;
  readonly keys: DeviceBuffer;
  readonly values: DeviceBuffer;
  readonly mix: DeviceBuffer;
  readonly h: DeviceBuffer;
  /** Of each row of `h`, bits by which its unit is coarser. */
  readonly coarser: DeviceBuffer;
  /** Of so many rows as go through attention at a time. */
  readonly scores: DeviceBuffer;
  readonly totals: DeviceBuffer;
  readonly rowsOfScores: number;
  /** Of the softmax: the largest logit and the sum. */
  readonly softmaxSums: DeviceBuffer;
}

/** Rows on their way. */
export interface Rows {
  readonly at: Activations;
  readonly rows: number;
  /** Positions of a window, and that of a window's first row. */
  readonly length: number;
  readonly start: number;
}

/** What attention reads, and how many rows each has: rows past them begin again. */
interface AttentionSources {
  readonly q: DeviceBuffer;
  readonly keys: DeviceBuffer;
  readonly values: DeviceBuffer;
  readonly queryRows: number;
  readonly keyRows: number;
  readonly valueRows: number;
  /** The first row of keys and values. */
  readonly keysFrom: number;
}

/** Makes room for so many words. */
export type Take = (label: string, words: number) => DeviceBuffer;

export class TextForward {
  readonly weights: DeviceBuffer;
  readonly tables: DeviceBuffer;
  readonly #noScales: DeviceBuffer;
  readonly #rotary: DeviceBuffer;
  readonly #softmax: DeviceBuffer;
  readonly #silu: DeviceBuffer;
  readonly #matrices: ReadonlyMap<ScaledMatrix, PlacedMatrix>;
  readonly #weightWords: number;
  readonly #kernels = new Map<string, Kernel>();
  #values: Int8Array;

  constructor(
    readonly device: WebgpuDevice,
    readonly recorder: Recorder,
    readonly model: Transformer,
    take: Take,
  ) {
    const { matrices, words } = placeMatrices(model);
    this.#matrices = matrices;
    this.#weightWords = words;
    this.#values = new Int8Array(model.parameters);
    const { headSize, context } = model;
    this.weights = take('weights', words);
    this.tables = take('tables', EXP2.length + LOG2.length);
    this.#noScales = take('scales', 1);
    this.#rotary = take('rotary tables', context * headSize);
    this.#softmax = take('softmax table', SOFTMAX.length);
    this.#silu = take('silu table', SILU.length);
    const { cosines, sines } = rotaryTables(headSize, context);
    this.device.write(this.tables, lossTables());
    this.device.write(this.#rotary, Int32Array.of(...cosines, ...sines));
    this.device.write(this.#softmax, Int32Array.from(SOFTMAX));
    this.device.write(this.#silu, Int32Array.from(SILU));
  }

  writeWeights(values: Int8Array): void {
    this.#values = values.slice();
    const words = new Uint32Array(this.#weightWords);
    for (const matrix of this.#matrices.values()) {
      const { offset, units, inputs } = matrix;
      packLayer(matrix, values.subarray(offset, offset + units * inputs), words);
    }
    this.device.write(this.weights, words);
  }

  /**
   * Rows of the embedding become the residual stream `x`; or, unscaled, the sums that it is made of.
   * @param first - index of the first row's byte
   */
  embed(bytes: DeviceBuffer, x: DeviceBuffer, rows: number, first: number, scaled = true): void {
    const { width, embed } = this.model;
    const { wide, depth } = this.matrix(embed);
    const scale = scaled ? this.#scaleOf(embed) : { mantissa: 1, exponent: 0 };
    this.recorder.add(
      this.kernel(`embed ${wide}`, () => embedKernel(wide)),
      { weights: this.weights, bytes, x },
      { rows, first, width, depth, ...scale },
      linearGroups(rows * width, ITEMS),
    );
  }

  /** The residual stream from sums of the embedding. */
  scaleEmbedding({ at: { x, z }, rows }: Rows): void {
    const items = rows * this.model.width;
    this.recorder.add(
      this.kernel('scale', scaleKernel),
      { z, x },
      { items, ...this.#scaleOf(this.model.embed) },
      linearGroups(items, ITEMS),
    );
  }

  /** Blocks, as they are applied, from one on. */
  blocksFrom(application: number, all: Rows): void {
    const { order, layers } = this.model;
    for (const layer of order.slice(application)) this.block(layers[layer], all);
  }

  block(block: TransformerBlock, all: Rows): void {
    const { at, rows } = all;
    this.attentionInputs(block, all, at.keys, at.values, 0);
    const { q, keys, values } = at;
    this.attention(
      { ...{ q, keys, values }, ...{ queryRows: rows, keyRows: rows, valueRows: rows, keysFrom: 0 } },
      all,
    );
    this.output(block, all);
    this.feedForward(block, all);
  }

  /** What attention mixed, into the residual stream. */
  output(block: TransformerBlock, all: Rows): void {
    this.product(block.output, all.at.mix, all.at.z, all.rows);
    this.add(block.output, all);
  }

  /** Queries, keys and values from the residual stream; keys and values to rows `to`… of where they go. */
  attentionInputs(
    { query, key, value }: TransformerBlock,
    all: Rows,
    keys: DeviceBuffer,
    values: DeviceBuffer,
    to: number,
  ): void {
    const { n, z, q } = all.at;
    this.norm(all);
    this.product(query, n, z, all.rows);
    this.turn(query, q, 0, all);
    this.product(key, n, z, all.rows);
    this.turn(key, keys, to, all);
    this.product(value, n, z, all.rows);
    this.narrow(value, values, to, all);
  }

  feedForward(block: TransformerBlock, all: Rows): void {
    const { at, rows } = all;
    this.norm(all);
    this.product(block.gate, at.n, at.z, rows);
    this.product(block.up, at.n, at.z2, rows);
    this.gate(block, at.z, at.z2, all);
    this.down(block, all);
  }

  down(block: TransformerBlock, all: Rows): void {
    this.product(block.down, all.at.h, all.at.z, all.rows);
    this.addHidden(block.down, all);
  }

  /** Logits in `z`, from the residual stream. */
  logits(all: Rows): void {
    const { head, headShift } = this.model;
    const { n, z } = all.at;
    this.norm(all);
    this.product(head, n, z, all.rows);
    const items = all.rows * VOCABULARY;
    this.recorder.add(
      this.kernel('logits', logitsKernel),
      { z },
      { items, shift: headShift, ...this.#scaleOf(head) },
      linearGroups(items, ITEMS),
    );
  }

  /**
   * Losses from logits in `z`, to place firstResult… on.
   * @param first - index of the first row's label; rows past `examples` begin again there
   * @param predictions - written as well, unless rows are copies
   */
  losses(
    { at: { z, softmaxSums: softmax }, rows }: Rows,
    buffers: { labels: DeviceBuffer; losses: DeviceBuffer; predictions: DeviceBuffer },
    place: { first: number; examples: number; firstResult: number; whole: boolean },
  ): void {
    const { first, examples, firstResult, whole } = place;
    const shape = { widths: [this.model.width, VOCABULARY], logitScale: 1 };
    this.recorder.add(
      this.kernel(`loss ${whole}`, () => lossKernel(shape, whole)),
      { tables: this.tables, z, softmax, ...buffers },
      { count: rows, firstExample: first, firstResult, copies: 1, examples },
      linearGroups(rows, LOSS_SIZE),
    );
  }

  norm({ at: { x, n }, rows }: Rows): void {
    const { width } = this.model;
    this.recorder.add(
      this.kernel('norm', normKernel),
      { x, n },
      { rows, width, words: wordsOf(width), gain: rmsGain(width), valueBits: rmsValueBits(width) },
      linearGroups(rows, 1),
    );
  }

  /** Sums of a matrix, [rows, units]. */
  product(of: ScaledMatrix, x: DeviceBuffer, z: DeviceBuffer, rows: number): void {
    const { device } = this;
    const { units, depth, weightsAt, wide } = this.matrix(of);
    const counts =
      depth <= DIRECT_DEPTH_MAX ? null : tileCounts(rows, units, 1, device.workgroupBytes, device.tiles);
    const variant = { counts, wide, scaled: false };
    this.recorder.add(
      this.kernel(`linear ${JSON.stringify(variant)}`, () => linearKernel(variant, device.features)),
      { weights: this.weights, scales: this.#noScales, x, z },
      { firstRow: 0, rows, units, depth, weightsAt, shift: 0, scalesAt: 0 },
      counts
        ? [Math.ceil(rows / (TILE_SIDE * counts.lefts)), Math.ceil(units / (TILE_SIDE * counts.rights))]
        : linearGroups(rows * units, DIRECT_SIZE),
    );
  }

  /** Sums in `z` become queries or keys, in rows `to`… of a buffer. */
  turn(of: ScaledMatrix, q: DeviceBuffer, to: number, { at: { z }, rows, start, length }: Rows): void {
    const { headSize, context } = this.model;
    const { units } = this.matrix(of);
    const pairs = headSize / 2;
    this.recorder.add(
      this.kernel('turn', turnKernel),
      { z, rotary: this.#rotary, q },
      { rows, units, to, ...this.#scaleOf(of), pairs, start, length, sines: context * pairs },
      linearGroups((rows * units) / 2, ITEMS),
    );
  }

  /** Sums in `z` become values, in rows `to`… of a buffer. */
  narrow(of: ScaledMatrix, v: DeviceBuffer, to: number, { at: { z }, rows }: Rows): void {
    const { units } = this.matrix(of);
    this.recorder.add(
      this.kernel('narrow', narrowKernel),
      { z, v },
      { rows, units, to, ...this.#scaleOf(of) },
      linearGroups(rows * units, ITEMS),
    );
  }

  attention({ q, keys, values, ...sources }: AttentionSources, all: Rows): void {
    const { heads, keyHeads, headSize, context, width } = this.model;
    const { scores, totals, mix, rowsOfScores } = all.at;
    const words = wordsOf(width);
    for (let firstRow = 0; firstRow < all.rows; firstRow += rowsOfScores) {
      const rows = Math.min(rowsOfScores, all.rows - firstRow);
      const params = {
        ...{ firstRow, rows, start: all.start, length: all.length, context, ...sources },
        ...{ heads, keyHeads, headSize, words, ...softmaxScale(headSize, context) },
      };
      this.recorder.add(
        this.kernel('scores', scoresKernel),
        { q, keys, scores },
        params,
        linearGroups(rows * heads * context, ITEMS),
      );
      this.recorder.add(
        this.kernel('weights', weightsKernel),
        { scores, softmax: this.#softmax, totals },
        params,
        linearGroups(rows * heads, ITEMS),
      );
      this.recorder.add(
        this.kernel('mix', mixKernel),
        { scores, totals, values, mix },
        params,
        linearGroups(rows * words, ITEMS),
      );
    }
  }

  /** Gated activations from sums of gate and up; of sums that have fewer rows, those past them begin again. */
  gate(
    { gate, up }: TransformerBlock,
    z: DeviceBuffer,
    z2: DeviceBuffer,
    { at: { h, coarser }, rows }: Rows,
    { gateRows = rows, upRows = rows } = {},
  ): void {
    const { hidden } = this.model;
    const words = wordsOf(hidden);
    const { mantissa: mantissa2, exponent: exponent2 } = this.#scaleOf(up);
    this.recorder.add(
      this.kernel('gate', gateKernel),
      { z, z2, silu: this.#silu, h, coarser },
      {
        ...{ rows, units: hidden, words, gateRows, upRows },
        ...{ ...this.#scaleOf(gate), mantissa2, exponent2 },
      },
      linearGroups(rows, 1),
    );
  }

  add(of: ScaledMatrix, { at: { x, z }, rows }: Rows): void {
    const items = rows * this.model.width;
    this.recorder.add(
      this.kernel('add', addKernel),
      { z, x },
      { items, ...this.#scaleOf(of) },
      linearGroups(items, ITEMS),
    );
  }

  /** The same for hidden activations' sums, whose units are those of rows at hand or of fewer. */
  addHidden(
    of: ScaledMatrix,
    { at, rows }: Rows,
    units: { readonly at: Activations; readonly rows: number } = { at, rows },
  ): void {
    const { width } = this.model;
    const { x, z } = at;
    this.recorder.add(
      this.kernel('addHidden', addHiddenKernel),
      { z, coarser: units.at.coarser, x },
      { items: rows * width, width, coarserRows: units.rows, ...this.#scaleOf(of) },
      linearGroups(rows * width, ITEMS),
    );
  }

  matrix(of: ScaledMatrix): PlacedMatrix {
    return this.#matrices.get(of) as PlacedMatrix;
  }

  /** The kernel of a name and a variant, made when it is first needed. */
  kernel<Made extends Kernel>(name: string, make: () => Made): Made {
    const made = (this.#kernels.get(name) as Made | undefined) ?? make();
    this.#kernels.set(name, made);
    return made;
  }

  #scaleOf({ scale }: ScaledMatrix): { mantissa: number; exponent: number } {
    const at = this.model.scales.offset + 2 * scale;
    return { mantissa: this.#values[at], exponent: this.#values[at + 1] };
  }
}

/** Words of the widest row of sums. */
export function widestOf({ width, hidden }: Transformer): number {
  return Math.max(width, hidden, VOCABULARY);
}

/** Room for so many rows on their way. */
export function takeActivations(
  model: Transformer,
  rows: number,
  workBytes: number,
  take: Take,
): Activations {
  const { width, hidden, context, heads, keyHeads, headSize } = model;
  const packed = (units: number) => rows * wordsOf(units);
  const keyWords = rows * keyHeads * headSize;
  const rowsOfScores = Math.max(1, Math.min(rows, Math.floor(workBytes / (4 * heads * context))));
  return {
    x: take('residual stream', rows * width),
    n: take('normalized activations', packed(width)),
    z: take('sums', rows * widestOf(model)),
    z2: take('sums of up', rows * hidden),
    q: take('queries', rows * width),
    keys: take('keys', keyWords),
    values: take('values', keyWords),
    mix: take('mixed values', packed(width)),
    h: take('gated activations', packed(hidden)),
    coarser: take('units of gated activations', rows),
    scores: take('scores', rowsOfScores * heads * context),
    totals: take('sums of weights', rowsOfScores * heads),
    rowsOfScores,
    softmaxSums: take('softmax sums', 2 * rows),
  };
}

/** Words of a row of i8, filled up to whole vec4s. */
function wordsOf(units: number): number {
  return 4 * Math.ceil(units / VALUES_PER_VEC4);
}

/** Where the matrices lie, one after another; a tied head lies where the embedding does. */
function placeMatrices(model: Transformer): { matrices: Map<ScaledMatrix, PlacedMatrix>; words: number } {
  const { embed, layers, head } = model;
  const matrices = new Map<ScaledMatrix, PlacedMatrix>();
  let words = 0;
  for (const matrix of [embed, ...layers.flatMap((block) => Object.values(block) as ScaledMatrix[]), head]) {
    const { rows, columns, values, offset } = matrix.weights;
    const tied = matrix === head && matrix.weights === embed.weights;
    const depth = Math.ceil(columns / VALUES_PER_VEC4);
    const wide = values !== 'trit';
    const weightsAt = tied ? 0 : wide ? roundUp(words, 4) : words;
    matrices.set(matrix, {
      units: rows,
      inputs: columns,
      depth,
      weightsAt,
      wide,
      scale: matrix.scale,
      offset,
    });
    if (!tied) words = weightsAt + rows * depth * (wide ? 4 : 1);
  }
  return { matrices, words: roundUp(words, 4) };
}
