/**
 * The oracle of the transformer: a window of text goes through it byte by byte, with keys and values of the
 * positions before in a cache, which is how text is generated as well. Slow, and the definition of what the other
 * backends must compute (docs/transformer.md).
 */

import { attend, type SoftmaxScale, softmaxScale } from '../../ternary/attention.js';
import { crossEntropy, type ExampleLoss } from '../../ternary/loss.js';
import { rmsNorm } from '../../ternary/rms-norm.js';
import { FINER_MAX, type RotaryTables, rotaryTables, rotate } from '../../ternary/rotary.js';
import { roundDiv, roundShift } from '../../ternary/rounding.js';
import { siluGate } from '../../ternary/silu.js';
import {
  clipI8,
  EMBEDDING_SHIFT,
  FINER_BITS,
  LOGIT_MAX,
  LOGIT_SHIFT,
  rescale,
  saturate,
  type ScaledMatrix,
  type Transformer,
  type TransformerBlock,
  VOCABULARY,
} from '../../ternary/transformer.js';
import type { Alignment, Evaluation, PlacedText, TextProbes, TextRoom } from '../backend.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';
import { probeSigns } from './probe-signs.js';

/**
 * Told of what goes into a matrix and of the sums that come out, which it may change.
 * @param site - 0 the embedding; 1 + 7·application + matrix of its block; last the head
 */
type Watch = (site: number, position: number, inputs: Int8Array, sums: Int32Array) => void;

/** A site of which the losses at later positions count to the reward as well. */
function isSeenLater(site: number): boolean {
  return site === 0 || (site - 1) % MATRICES < 3; // queries, keys, values
}

/** Matrices of a block. */
const MATRICES = 7;
/** Bits that absolute sums are rounded by before they are summed up. */
const SIZE_SHIFT = 4;

export class ReferenceText implements PlacedText {
  readonly #guard: TextGuard;
  readonly #values: Int8Array;
  readonly #tables: RotaryTables;
  readonly #softmax: SoftmaxScale;
  /** Of each application of a block, [T, G·headSize] keys and values. */
  readonly #caches: readonly { keys: Int8Array; values: Int8Array }[];
  #position = 0;
  #watch: Watch | null = null;
  #windows = new Uint8Array(0);
  #length = 0;

  constructor(
    readonly model: Transformer,
    room: TextRoom,
  ) {
    this.#guard = new TextGuard(model, room);
    this.#values = new Int8Array(model.parameters);
    this.#tables = rotaryTables(model.headSize, model.context);
    this.#softmax = softmaxScale(model.headSize, model.context);
    const size = model.context * model.keyHeads * model.headSize;
    this.#caches = model.order.map(() => ({ keys: new Int8Array(size), values: new Int8Array(size) }));
  }

  async writeWeights(values: Int8Array): Promise<void> {
    checkValues(this.model, values);
    this.#values.set(values);
  }

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#guard.checkWindows(bytes, length);
    this.#windows = bytes.slice();
    this.#length = length;
  }

  async evaluate(): Promise<Evaluation> {
    const length = this.#guard.requireWindows(this.#length);
    const count = this.#windows.length / (length + 1);
    return evaluationOf(Array.from({ length: count }, (_, window) => this.#pass(window)).flat());
  }

  async align(probes: TextProbes): Promise<Alignment<Int32Array>> {
    const count = this.#windows.length / (this.#length + 1) || 0;
    const limit = this.#guard.requireProbes(count, this.#length, probes);
    const alignments = new Int32Array(this.model.parameters);
    const passes = Array.from({ length: count }, (_, window) =>
      this.#alignWindow(window, probes, limit, alignments),
    );
    return { alignments, evaluation: evaluationOf(passes.flat()) };
  }

  /** The losses of a window, whose part is added to the alignments. */
  #alignWindow(window: number, probes: TextProbes, limit: number, alignments: Int32Array): ExampleLoss[] {
    const sites = this.#sites();
    const inputs = sites.map((): Int8Array[] => []); // [site][position]
    const sizes = sites.map((): number[] => []);
    const errors: Int16Array[] = []; // of the head, exact
    this.#watch = (site, _, x, sums) => {
      inputs[site].push(x);
      const absolute = sums.reduce((sum, value) => sum + roundShift(Math.abs(value), SIZE_SHIFT), 0);
      const mean = roundDiv(absolute, sums.length); // absolute ≤ 127·2^10·2^14 < 2^31
      sizes[site].push(Math.max(1, roundShift(mean * probes.sigma, 8 - SIZE_SHIFT)));
    };
    const passes = this.#pass(window, errors);
    this.#addAlignments(
      sites.at(-1) as ScaledMatrix,
      inputs.at(-1) as Int8Array[],
      errors,
      window,
      alignments,
    );
    for (const [site, matrix] of sites.slice(0, -1).entries()) {
      if (probes.probes === 0) break;
      const all = new Uint8Array(unitsOf(matrix, site)).fill(1);
      const errors = passes.map(() => new Int16Array(all.length));
      for (let probe = 0; probe < probes.probes; probe++) {
        const signs = passes.map((_, position) => {
          const example = window * this.#length + position;
          return probeSigns(all, probe, probes.key, probes.step, site, example);
        });
        const [plus, minus] = [1, -1].map((side) => {
          this.#watch = (at, position, _, sums) => {
            if (at !== site) return;
            for (let unit = 0; unit < sums.length; unit++)
              sums[unit] += side * sizes[site][position] * signs[position][unit];
          };
          return this.#pass(window);
        });
        const later = isSeenLater(site) ? probes.horizon : 0;
        for (const [position, error] of errors.entries()) {
          let difference = 0; // < 5·2^28.1
          for (let at = position; at <= position + later && at < passes.length; at++) {
            difference += plus[at].loss - minus[at].loss;
          }
          const shifted = roundShift(difference, probes.rewardShift);
          const reward = Math.max(-limit, Math.min(limit, shifted));
          for (let unit = 0; unit < error.length; unit++) error[unit] += reward * signs[position][unit];
        }
      }
      this.#addAlignments(matrix, inputs[site], errors, window, alignments);
    }
    this.#watch = null;
    return passes;
  }

  /** The matrices as they are applied, one after another. */
  #sites(): ScaledMatrix[] {
    const { embed, layers, order, head } = this.model;
    return [embed, ...order.flatMap((layer) => Object.values(layers[layer]) as ScaledMatrix[]), head];
  }

  /** Σ error·input over the positions of a window; of the embedding the input is 1 at the byte's row. */
  #addAlignments(
    matrix: ScaledMatrix,
    inputs: readonly Int8Array[],
    errors: readonly Int16Array[],
    window: number,
    alignments: Int32Array,
  ): void {
    const { offset, columns } = matrix.weights;
    for (const [position, error] of errors.entries()) {
      if (matrix === this.model.embed) {
        const row = offset + this.#windows[window * (this.#length + 1) + position] * columns;
        for (let unit = 0; unit < columns; unit++) alignments[row + unit] += error[unit];
        continue;
      }
      for (let row = 0; row < error.length; row++) {
        const first = offset + row * columns;
        for (let column = 0; column < columns; column++)
          alignments[first + column] += error[row] * inputs[position][column];
      }
    }
  }

  /**
   * Goes through a window.
   * @param errors - receives the logits' of each position
   */
  #pass(window: number, errors?: Int16Array[]): ExampleLoss[] {
    const first = window * (this.#length + 1);
    this.restart();
    const passes = Array.from({ length: this.#length }, (_, position) => {
      const logits = this.#next(this.#windows[first + position]);
      const error = errors ? new Int16Array(VOCABULARY) : null;
      if (error) errors?.push(error);
      return crossEntropy(logits, this.#windows[first + position + 1], 1, error);
    });
    this.restart();
    return passes;
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    return this.#next(byte);
  }

  async release(): Promise<void> {}

  /** Takes the byte of the next position; returns the logits of the byte after it, [256] in 2⁻¹⁶ bits. */
  #next(byte: number): Int32Array {
    const { model } = this;
    const x = this.#embed(byte); // the residual stream, [W]
    model.order.forEach((layer, application) => {
      this.#attention(model.layers[layer], application, x);
      this.#feedForward(model.layers[layer], application, x);
    });
    const sums = this.#sums(model.head, normalized(x), 1 + MATRICES * model.order.length);
    this.#position += 1;
    return sums.map((sum) => {
      const logit = this.#rescaled(model.head, roundShift(sum, model.headShift));
      return Math.max(-LOGIT_MAX, Math.min(LOGIT_MAX, logit)) << LOGIT_SHIFT;
    });
  }

  #embed(byte: number): Int32Array {
    const { embed, width } = this.model;
    const first = embed.weights.offset + byte * width;
    const row = this.#values.subarray(first, first + width);
    const sums = Int32Array.from(row, (value) => value * 2 ** EMBEDDING_SHIFT);
    this.#watch?.(0, this.#position, row, sums);
    return sums.map((sum) => this.#rescaled(embed, sum));
  }

  /** x += output · attention(norm(x)) */
  #attention(block: TransformerBlock, application: number, x: Int32Array): void {
    const { headSize, heads, keyHeads } = this.model;
    const site = 1 + MATRICES * application;
    const n = normalized(x);
    const query = this.#rotated(block.query, n, site);
    const stride = keyHeads * headSize;
    const { keys, values } = this.#caches[application];
    keys.set(this.#rotated(block.key, n, site + 1), this.#position * stride);
    values.set(
      this.#finer(block.value, n, site + 2).map((value) => clipI8(roundShift(value, FINER_BITS))),
      this.#position * stride,
    );
    const mix = new Int8Array(query.length);
    for (let head = 0; head < heads; head++) {
      const part = [head * headSize, (head + 1) * headSize] as const;
      const offset = Math.floor((head * keyHeads) / heads) * headSize;
      const shape = { positions: this.#position + 1, stride, offset };
      attend(query.subarray(...part), keys, values, shape, this.#softmax, mix.subarray(...part));
    }
    this.#add(block.output, mix, x, site + 3);
  }

  /** x += down · (silu(gate · norm(x)) · (up · norm(x))) */
  #feedForward(block: TransformerBlock, application: number, x: Int32Array): void {
    const site = 5 + MATRICES * application;
    const n = normalized(x);
    const [gates, ups] = [block.gate, block.up].map((matrix, i) =>
      Int8Array.from(this.#sums(matrix, n, site + i), (sum) => clipI8(this.#rescaled(matrix, sum))),
    );
    const hidden = new Int8Array(gates.length);
    const coarser = siluGate(gates, ups, hidden);
    this.#add(block.down, hidden, x, site + 2, coarser);
  }

  #rotated(matrix: ScaledMatrix, n: Int8Array, site: number): Int8Array {
    const finer = this.#finer(matrix, n, site);
    const turned = new Int8Array(finer.length);
    rotate(finer, this.model.headSize, this.#position, this.#tables, turned);
    return turned;
  }

  /** Queries, keys or values before they are rounded to i8. */
  #finer(matrix: ScaledMatrix, n: Int8Array, site: number): Int32Array {
    const clip = (value: number) => Math.max(-FINER_MAX, Math.min(FINER_MAX, value));
    return this.#sums(matrix, n, site).map((sum) => clip(this.#rescaled(matrix, sum)));
  }

  /** @param coarser - bits by which the activations' unit is coarser than the scale says */
  #add(matrix: ScaledMatrix, activations: Int8Array, x: Int32Array, site: number, coarser = 0): void {
    const sums = this.#sums(matrix, activations, site);
    for (let unit = 0; unit < x.length; unit++)
      x[unit] = saturate(x[unit] + this.#rescaled(matrix, sums[unit], coarser));
  }

  /** A matrix times i8 activations: [N] to [M]. */
  #sums({ weights }: ScaledMatrix, activations: Int8Array, site: number): Int32Array {
    const { offset, rows, columns } = weights;
    const sums = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const first = offset + row * columns;
      let sum = 0; // ≤ 127·127·W or 127·F, see transformerOf
      for (let column = 0; column < columns; column++)
        sum += this.#values[first + column] * activations[column];
      sums[row] = sum;
    }
    this.#watch?.(site, this.#position, activations, sums);
    return sums;
  }

  #rescaled({ scale }: ScaledMatrix, sum: number, coarser = 0): number {
    const at = this.model.scales.offset + 2 * scale;
    return rescale(sum, this.#values[at], this.#values[at + 1] - coarser);
  }
}

function normalized(x: Int32Array): Int8Array {
  const q = new Int8Array(x.length);
  rmsNorm(x, q);
  return q;
}

/** How many sums a site has: a byte's row of the embedding is no product. */
function unitsOf({ weights: { rows, columns } }: ScaledMatrix, site: number): number {
  return site === 0 ? columns : rows;
}

function evaluationOf(passes: readonly ExampleLoss[]): Evaluation {
  return {
    losses: Int32Array.from(passes, ({ loss }) => loss),
    predictions: Uint8Array.from(passes, ({ prediction }) => prediction),
  };
}
