/**
 * Causal attention with an integer softmax, three kernels: scores, their weights, and the mix of values; op.ts defines
 * it. Row r has position start + r mod length, and sees the keys of its window. Of queries, keys and values there may
 * be fewer rows, which then begin again. `scores` is [rows, heads, context] of some rows from firstRow on, so that it
 * stays within the work memory. In a window that grows, keys and values of the positions before are in a cache, where
 * the kernel of scores writes those of the row, too.
 */

import { BYTES } from '../../backend/webgpu/kernels/bytes.js';
import { type Features, itemKernel, read, write } from '../../backend/webgpu/kernels/kernel.js';
import { ROUNDING } from '../../backend/webgpu/kernels/rounding.js';
import { dots } from '../../backend/webgpu/kernels/tile.js';
import { packedWords } from '../../backend/webgpu/plan.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import { HEAD_BITS, I8_MAX, MIX_BITS } from '../../ternary/units.js';
import { EXPONENT_BITS, OCTAVE_BITS, SOFTMAX, SOFTMAX_BITS, softmaxScale } from './op.js';

const PARAMS = [
  ...(['firstRow', 'start', 'length', 'context', 'queryRows', 'keyRows', 'valueRows'] as const),
  ...(['heads', 'keyHeads', 'headSize', 'words', 'keyWords', 'factor', 'range', 'shift'] as const),
] as const;

const PLACES = `
fn positionOf(row: u32) -> u32 { return params.start + row % params.length; }
// Where the window of a row begins, among so many rows.
fn windowOf(row: u32, rows: u32) -> u32 { return ((row / params.length) * params.length) % rows; }
fn keyOffset(head: u32) -> u32 { return (head * params.keyHeads) / params.heads * params.headSize; }`;

/** The signed byte of an expression's index. */
const byteAt = (buffer: string, index: string) =>
  `extractBits(bitcast<i32>(${buffer}[(${index}) / 4u]), 8u * ((${index}) & 3u), 8u)`;

/** What makes one kernel differ from another. */
interface Variant {
  /** Whether heads are whole words of four activations. */
  readonly words: boolean;
  /** Whether the window grows. */
  readonly grows: boolean;
}

/** Items: rows · heads · context; those past a row's position do nothing. */
function scoresKernel({ words, grows }: Variant, features: Features) {
  const product = (keys: string, row: string) =>
    words
      ? `for (var i = 0u; i < params.headSize / 4u; i++) {
    score = addDot(score, q[query / 4u + i], ${keys}[${row} * params.keyWords + offset / 4u + i]);
  }`
      : `for (var i = 0u; i < params.headSize; i++) {
    let key = 4u * ${row} * params.keyWords + offset + i;
    score += ${byteAt('q', 'query + i')} * ${byteAt(keys, 'key')};
  }`;
  const grown = `
  if (other < position) { ${product('cachedKeys', 'other')} } else {
    ${product('keys', '0u')}
    if (head == 0u) {
      for (var i = 0u; i < params.keyWords; i++) {
        cachedKeys[other * params.keyWords + i] = keys[i];
        cachedValues[other * params.keyWords + i] = values[i];
      }
    }
  }`;
  const cache = grows ? write('array<u32>') : read('array<u32>');
  return itemKernel({
    name: 'scores',
    params: PARAMS,
    buffers: {
      ...{ q: read('array<u32>'), keys: read('array<u32>'), values: read('array<u32>') },
      ...{ cachedKeys: cache, cachedValues: cache, scores: write('array<i32>') },
    },
    code: [BYTES, dots(features), PLACES],
    body: `
  let other = item % params.context;
  let head = (item / params.context) % params.heads;
  let row = params.firstRow + item / (params.context * params.heads);
  let position = positionOf(row);
  if (other > position) { return; }
  let query = 4u * (row % params.queryRows) * params.words + head * params.headSize;
  let offset = keyOffset(head);
  var score = 0;
  ${grows ? grown : `let keyRow = windowOf(row, params.keyRows) + other;\n  ${product('keys', 'keyRow')}`}
  scores[item] = score;`,
  });
}

/** Scores to weights, in place, and their totals. Items: rows · heads. */
function weightsKernel() {
  return itemKernel({
    name: 'weights',
    params: PARAMS,
    buffers: { scores: write('array<i32>'), softmax: read('array<i32>'), totals: write('array<i32>') },
    code: [ROUNDING, PLACES],
    body: `
  let row = params.firstRow + item / params.heads;
  let first = item * params.context;
  let end = first + positionOf(row) + 1u;
  var largest = scores[first];
  for (var at = first; at < end; at++) { largest = max(largest, scores[at]); }
  var total = 0;
  for (var at = first; at < end; at++) {
    let below = min(largest - scores[at], i32(params.range));
    let exponent = u32(roundShift(below * i32(params.factor), ${EXPONENT_BITS}u));
    let octaves = (exponent >> ${OCTAVE_BITS}u) + params.shift;
    var weight = 0;
    if (octaves <= ${SOFTMAX_BITS}u) { weight = softmax[exponent & ${2 ** OCTAVE_BITS - 1}u] >> octaves; }
    scores[at] = weight;
    total += weight;
  }
  totals[item] = total;`,
  });
}

/** Values by their weights. Items: rows · words of mix. */
function mixKernel({ words }: Variant) {
  const mixed = (sum: string, head: string) =>
    `clamp(roundDiv(${sum} * ${2 ** (MIX_BITS - HEAD_BITS)}, u32(totals[local * params.heads + ${head}])), -${I8_MAX}, ${I8_MAX})`;
  const together = `
  if (unit < width) {
    let head = unit / params.headSize;
    let weightsAt = (local * params.heads + head) * params.context;
    let value = window * params.keyWords + (keyOffset(head) + unit % params.headSize) / 4u;
    var sums = vec4<i32>();
    for (var other = 0u; other < count; other++) {
      sums += scores[weightsAt + other] * bytesOf(values[value + other * params.keyWords]);
    }
    for (var place = 0u; place < 4u; place++) { mixed[place] = ${mixed('sums[place]', 'head')}; }
  }`;
  const alone = `
  for (var place = 0u; place < 4u; place++) {
    let own = unit + place;
    if (own < width) {
      let head = own / params.headSize;
      let weightsAt = (local * params.heads + head) * params.context;
      let value = 4u * window * params.keyWords + keyOffset(head) + own % params.headSize;
      var sum = 0;
      for (var other = 0u; other < count; other++) {
        let at = value + 4u * other * params.keyWords;
        sum += scores[weightsAt + other] * ${byteAt('values', 'at')};
      }
      mixed[place] = ${mixed('sum', 'head')};
    }
  }`;
  return itemKernel({
    name: 'mix',
    params: PARAMS,
    buffers: {
      ...{ scores: read('array<i32>'), totals: read('array<i32>') },
      ...{ values: read('array<u32>'), mix: write('array<u32>') },
    },
    code: [BYTES, ROUNDING, PLACES],
    body: `
  let local = item / params.words;
  let row = params.firstRow + local;
  let width = params.heads * params.headSize;
  let window = windowOf(row, params.valueRows);
  let count = positionOf(row) + 1u;
  let unit = 4u * (item % params.words);
  var mixed = vec4<i32>();${words ? together : alone}
  mix[row * params.words + item % params.words] = wordOf(mixed);`,
  });
}

export const attention: Recipe<'attention'> = {
  record({ attributes: { heads, keyHeads, headSize, context } }, at): void {
    const { device, start, length } = at;
    const words = packedWords(heads * headSize);
    const keyWords = packedWords(keyHeads * headSize);
    const variant = { words: headSize % 4 === 0, grows: at.kind === 'next' };
    const name = JSON.stringify(variant);
    const [query, key, value] = [at.input(0), at.input(1), at.input(2)];
    const cached = (what: string, own: typeof key) =>
      variant.grows ? at.state(what, context * keyWords) : own.buffer;
    const [cachedKeys, cachedValues] = [cached('keys', key), cached('values', value)];
    const atOnce = Math.max(1, Math.min(at.rows, Math.floor(device.workBytes / (4 * heads * context))));
    const scores = at.work('scores', atOnce * heads * context);
    const totals = at.work('totals', atOnce * heads);
    for (let firstRow = 0; firstRow < at.rows; firstRow += atOnce) {
      const rows = Math.min(atOnce, at.rows - firstRow);
      const params = {
        ...{ firstRow, start, length, context, heads, keyHeads, headSize, words, keyWords },
        ...{ queryRows: query.rows, keyRows: key.rows, valueRows: value.rows },
        ...softmaxScale(headSize, context),
      };
      at.recorder.runItems(
        `scores ${name}`,
        () => scoresKernel(variant, device.features),
        { q: query.buffer, keys: key.buffer, values: value.buffer, cachedKeys, cachedValues, scores },
        params,
        rows * heads * context,
      );
      at.recorder.runItems(
        'weights',
        weightsKernel,
        { scores, softmax: at.table('softmax', () => Int32Array.from(SOFTMAX)), totals },
        params,
        rows * heads,
      );
      at.recorder.runItems(
        `mix ${variant.words}`,
        () => mixKernel(variant),
        { scores, totals, values: cachedValues, mix: at.output(0).buffer },
        params,
        rows * words,
      );
    }
  },
};
