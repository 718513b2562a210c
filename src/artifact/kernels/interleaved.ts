/** The kernel that reads interleaved trits, where the engine has SIMD. */

import { instantiate, kernelModule, roundUp } from './module.js';

/** Bytes that the kernel may read after the words. */
const SLACK_BYTES = 48;
const LANES = 16;

/** How often each trit is expected in each column. */
export interface Frequencies {
  /** [classes] of 2^14: that of zero, at least 1, and that of zero and +1 together, at least one more. */
  readonly zero: Uint16Array;
  readonly positive: Uint16Array;
  /** [columns] the class of each. */
  readonly classes: Uint8Array;
}

/** A way to read trits; the definition is one, the kernel another. */
export type InterleavedDecode = (
  words: Uint8Array,
  states: Uint32Array,
  frequencies: Frequencies,
  trits: Int8Array,
) => number | null;

interface Exports {
  readTrits(
    words: number,
    end: number,
    states: number,
    zero: number,
    upper: number,
    patterns: number,
    columns: number,
    groups: number,
    trits: number,
  ): number;
}

/** The kernel, or null where the engine has no WebAssembly with SIMD; the definition gives the same trits. */
export function openInterleavedKernel(): InterleavedDecode | null {
  const module = kernelModule();
  if (module === null) return null;
  return (words, states, { zero, positive, classes }, trits) => {
    const columns = classes.length;
    const groups = Math.ceil(trits.length / LANES);
    const extended = columns + LANES;
    const tables = 4 * extended;
    const statesAt = 16 * LANES; // after the patterns
    const zeroAt = statesAt + 4 * LANES;
    const upperAt = zeroAt + tables;
    const wordsAt = upperAt + tables;
    const tritsAt = wordsAt + roundUp(words.length + SLACK_BYTES);
    const end = tritsAt + LANES * groups;
    const { exports, buffer } = instantiate(module, end);
    writePatterns(new Uint8Array(buffer, 0, 16 * LANES));
    new Uint32Array(buffer, statesAt, LANES).set(states);
    const lows = new Int32Array(buffer, zeroAt, extended);
    const highs = new Int32Array(buffer, upperAt, extended);
    for (let i = 0; i < extended; i++) {
      const one = classes[i % columns];
      lows[i] = zero[one];
      highs[i] = zero[one] + positive[one];
    }
    new Uint8Array(buffer, wordsAt, words.length).set(words);
    const last = (exports as unknown as Exports).readTrits(
      ...[wordsAt, wordsAt + words.length, statesAt, zeroAt, upperAt, 0, columns, groups, tritsAt],
    );
    if (last === 0) return null;
    states.set(new Uint32Array(buffer, statesAt, LANES));
    const read = new Int8Array(buffer, tritsAt, LANES * groups);
    trits.set(read.subarray(0, trits.length));
    for (let i = trits.length; i < read.length; i++) {
      if (read[i] !== 0) states[i % LANES] = 0; // as the definition has it
    }
    return (last - wordsAt) / 2;
  };
}

/** [16, 16] For each set of lanes, the swizzle that gives them 32-bit words in order, and zero to the others. */
function writePatterns(patterns: Uint8Array): void {
  patterns.fill(255);
  for (let set = 0; set < 16; set++) {
    let word = 0;
    for (let lane = 0; lane < 4; lane++) {
      if (((set >> lane) & 1) === 0) continue;
      for (let byte = 0; byte < 4; byte++) patterns[16 * set + 4 * lane + byte] = 4 * word + byte;
      word++;
    }
  }
}
