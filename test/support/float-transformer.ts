/** The transformer of docs/transformer.md in float64, without any of its roundings, written apart from src. */

import type { ScaledMatrix, Transformer } from '../../src/ternary/builders/transformer.js';

export class FloatTransformer {
  constructor(
    readonly model: Transformer,
    readonly values: Int8Array,
  ) {}

  /** Cross-entropy in bits of each byte but the first, by those before it. */
  lossBits(text: Uint8Array): number[] {
    const { model } = this;
    const length = text.length - 1;
    const embedded = this.matrixOf(model.embed, 2 ** (8 - 12));
    let stream = Array.from({ length }, (_, t) => embedded[text[t]]);
    for (const layer of model.order) {
      const { query, key, value, output, gate, up, down } = model.layers[layer];
      const normed = stream.map(norm);
      const toHead = 2 ** (5 - 4 - 7); // out of the unit of the norm into that of heads, seven bits finer
      const q = this.#linear(query, toHead, normed).map((row, t) => this.#turn(row, t));
      const k = this.#linear(key, toHead, normed).map((row, t) => this.#turn(row, t));
      const v = this.#linear(value, toHead, normed);
      const mixed = q.map((_, t) => this.#mix(q[t], k.slice(0, t + 1), v));
      stream = add(stream, this.#linear(output, 2 ** (5 - 12), mixed));
      const fed = stream.map(norm);
      const gates = this.#linear(gate, 2 ** (5 - 4), fed);
      const ups = this.#linear(up, 2 ** (5 - 4), fed);
      const hidden = gates.map((row, t) => row.map((g, i) => (g / (1 + Math.exp(-g))) * ups[t][i]));
      stream = add(stream, this.#linear(down, 2 ** (4 - 12), hidden));
    }
    const logits = this.#linear(model.head, 2 ** (5 - model.headShift - 10), stream.map(norm));
    return logits.map((row, t) => {
      const total = row.reduce((sum, logit) => sum + 2 ** logit, 0);
      return Math.log2(total) - row[text[t + 1]];
    });
  }

  /** Rows of a matrix as real numbers: value · mantissa / 2^exponent · unit. */
  matrixOf({ weights: { offset, rows, columns }, scale }: ScaledMatrix, unit: number): number[][] {
    const at = this.model.scales.offset + 2 * scale;
    const real = (this.values[at] / 2 ** this.values[at + 1]) * unit;
    return Array.from({ length: rows }, (_, row) =>
      Array.from({ length: columns }, (_, column) => this.values[offset + row * columns + column] * real),
    );
  }

  #linear(matrix: ScaledMatrix, unit: number, inputs: number[][]): number[][] {
    const rows = this.matrixOf(matrix, unit);
    return inputs.map((x) => rows.map((row) => row.reduce((sum, w, i) => sum + w * x[i], 0)));
  }

  #turn(row: number[], position: number): number[] {
    const size = this.model.headSize;
    return row.map((value, i) => {
      const pair = (i % size) >> 1;
      const angle = position * 10_000 ** ((-2 * pair) / size);
      const other = i % 2 === 0 ? -row[i + 1] : row[i - 1];
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  }

  #mix(query: number[], keys: number[][], values: number[][]): number[] {
    const { heads, keyHeads, headSize } = this.model;
    return Array.from({ length: heads }, (_, head) => {
      const first = Math.floor((head * keyHeads) / heads) * headSize;
      const scores = keys.map((key) => {
        let score = 0;
        for (let i = 0; i < headSize; i++) score += query[head * headSize + i] * key[first + i];
        return Math.exp(score / Math.sqrt(headSize));
      });
      const total = scores.reduce((a, b) => a + b);
      return Array.from({ length: headSize }, (_, i) =>
        scores.reduce((sum, score, t) => sum + (score / total) * values[t][first + i], 0),
      );
    }).flat();
  }
}

function norm(x: number[]): number[] {
  const root = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
  return x.map((value) => value / root);
}

function add(a: number[][], b: number[][]): number[][] {
  return a.map((row, t) => row.map((value, i) => value + b[t][i]));
}
