/**
 * The oracle of the transformer: a window of text goes through it byte by byte, with keys and values of the
 * positions before in a cache, which is how text is generated as well. Slow, and the definition of what the other
 * backends must compute (docs/transformer.md).
 */

import { attend, type SoftmaxScale, softmaxScale } from '../../ternary/attention.js';
import { crossEntropy } from '../../ternary/loss.js';
import { rmsNorm } from '../../ternary/rms-norm.js';
import { FINER_MAX, type RotaryTables, rotaryTables, rotate } from '../../ternary/rotary.js';
import { roundShift } from '../../ternary/rounding.js';
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
} from '../../ternary/transformer.js';
import type { Evaluation, PlacedText, TextRoom } from '../backend.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';

export class ReferenceText implements PlacedText {
  readonly #guard: TextGuard;
  readonly #values: Int8Array;
  readonly #tables: RotaryTables;
  readonly #softmax: SoftmaxScale;
  /** Of each application of a block, [T, G·headSize] keys and values. */
  readonly #caches: readonly { keys: Int8Array; values: Int8Array }[];
  #position = 0;
  #windows = new Uint8Array(0);
  #length = 0;

  constructor(
    readonly model: Transformer,
    { windows }: TextRoom,
  ) {
    this.#guard = new TextGuard(model, windows);
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
    const count = (this.#windows.length / (length + 1)) * length;
    const losses = new Int32Array(count);
    const predictions = new Uint8Array(count);
    for (let at = 0, first = 0; at < count; first += length + 1) {
      this.restart();
      for (let position = 0; position < length; position++, at++) {
        const logits = this.#next(this.#windows[first + position]);
        const { loss, prediction } = crossEntropy(logits, this.#windows[first + position + 1], 1, null);
        losses[at] = loss;
        predictions[at] = prediction;
      }
    }
    this.restart();
    return { losses, predictions };
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
      this.#feedForward(model.layers[layer], x);
    });
    const sums = this.#sums(model.head, normalized(x));
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
    return Int32Array.from(row, (value) => this.#rescaled(embed, value * 2 ** EMBEDDING_SHIFT));
  }

  /** x += output · attention(norm(x)) */
  #attention(block: TransformerBlock, application: number, x: Int32Array): void {
    const { headSize, heads, keyHeads } = this.model;
    const n = normalized(x);
    const query = this.#rotated(block.query, n);
    const stride = keyHeads * headSize;
    const { keys, values } = this.#caches[application];
    keys.set(this.#rotated(block.key, n), this.#position * stride);
    values.set(
      this.#finer(block.value, n).map((value) => clipI8(roundShift(value, FINER_BITS))),
      this.#position * stride,
    );
    const mix = new Int8Array(query.length);
    for (let head = 0; head < heads; head++) {
      const part = [head * headSize, (head + 1) * headSize] as const;
      const offset = Math.floor((head * keyHeads) / heads) * headSize;
      const shape = { positions: this.#position + 1, stride, offset };
      attend(query.subarray(...part), keys, values, shape, this.#softmax, mix.subarray(...part));
    }
    this.#add(block.output, mix, x);
  }

  /** x += down · (silu(gate · norm(x)) · (up · norm(x))) */
  #feedForward(block: TransformerBlock, x: Int32Array): void {
    const n = normalized(x);
    const gate = this.#sums(block.gate, n).map((sum) => clipI8(this.#rescaled(block.gate, sum)));
    const up = this.#sums(block.up, n).map((sum) => clipI8(this.#rescaled(block.up, sum)));
    this.#add(
      block.down,
      Int8Array.from(gate, (value, i) => siluGate(value, up[i])),
      x,
    );
  }

  #rotated(matrix: ScaledMatrix, n: Int8Array): Int8Array {
    const finer = this.#finer(matrix, n);
    const turned = new Int8Array(finer.length);
    rotate(finer, this.model.headSize, this.#position, this.#tables, turned);
    return turned;
  }

  /** Queries, keys or values before they are rounded to i8. */
  #finer(matrix: ScaledMatrix, n: Int8Array): Int32Array {
    const clip = (value: number) => Math.max(-FINER_MAX, Math.min(FINER_MAX, value));
    return this.#sums(matrix, n).map((sum) => clip(this.#rescaled(matrix, sum)));
  }

  #add(matrix: ScaledMatrix, activations: Int8Array, x: Int32Array): void {
    const sums = this.#sums(matrix, activations);
    for (let unit = 0; unit < x.length; unit++)
      x[unit] = saturate(x[unit] + this.#rescaled(matrix, sums[unit]));
  }

  /** A matrix times i8 activations: [N] to [M]. */
  #sums({ weights: { offset, rows, columns } }: ScaledMatrix, activations: Int8Array): Int32Array {
    const sums = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const first = offset + row * columns;
      let sum = 0; // ≤ 127·127·W or 127·F, see transformerOf
      for (let column = 0; column < columns; column++)
        sum += this.#values[first + column] * activations[column];
      sums[row] = sum;
    }
    return sums;
  }

  #rescaled({ scale }: ScaledMatrix, sum: number): number {
    const at = this.model.scales.offset + 2 * scale;
    return rescale(sum, this.#values[at], this.#values[at + 1]);
  }
}

function normalized(x: Int32Array): Int8Array {
  const q = new Int8Array(x.length);
  rmsNorm(x, q);
  return q;
}
