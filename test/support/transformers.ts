/** Small transformers with values that make their losses differ, for suites that loop over backends. */

import { VALUE_RANGES } from '../../src/ternary/precision.js';
import { scaleOfReal } from '../../src/ternary/units.js';
import type { Transformer, TransformerShape } from '../../src/ternary/builders/transformer.js';

export const SMALL_SHAPE: TransformerShape = {
  ...{ blocks: 2, width: 32, heads: 4, keyHeads: 4, hidden: 48, context: 16 },
  ...{ loopFrom: 0, loopTo: 2, loops: 1, tied: false, embedding: 'int8' },
};

/** Values of all tensors: uniform weights, and scales that keep activations within their ranges. */
export function randomValues(model: Transformer, seed: number): Int8Array {
  const random = generator(seed);
  const values = new Int8Array(model.parameters);
  for (const { values: kind, rows, columns, offset } of model.tensors) {
    const [least, largest] = VALUE_RANGES[kind];
    for (let i = 0; i < rows * columns; i++) {
      values[offset + i] = least + Math.floor(random() * (largest - least + 1));
    }
  }
  const trit = Math.sqrt(1.5); // a row of N trits with a scale of √(1.5/N) keeps the mean square
  const set = (scale: number, real: number) => values.set(scaleOfReal(real), model.scales.offset + 2 * scale);
  const embedded = model.embedding === 'int8' ? 73 : 0.8; // root mean square of its values
  set(model.embed.scale, 16 / embedded);
  const unit = trit / Math.sqrt(model.width);
  for (const block of model.layers) {
    for (const name of ['query', 'key', 'value'] as const)
      set(block[name].scale, 1.5 * unit * 2 ** (4 + 7 - 5));
    for (const name of ['gate', 'up'] as const) set(block[name].scale, 1.5 * unit * 2 ** (4 - 5));
    set(block.output.scale, unit * 2 ** (12 - 5));
    set(block.down.scale, (trit / Math.sqrt(model.hidden)) * 2 ** (12 - 4));
  }
  // A logit of root mean square two bits: the sum's is 32 · embedded · √W.
  set(model.head.scale, (2 * 1024) / (32 * embedded * Math.sqrt(model.width)));
  return values;
}

/** [count, length] bytes of few kinds. */
export function randomText(count: number, length: number, seed = 7): Uint8Array {
  const random = generator(seed);
  return Uint8Array.from({ length: count * length }, () => 97 + Math.floor(random() * 26));
}

function generator(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
