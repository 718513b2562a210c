/**
 * Kernels that read range-coded trits, where the engine has SIMD. A range coder is read bit after bit, each of
 * which decides where the next is, so this is a few times faster than JavaScript, not tens of times.
 */

import { neighbourOffsets } from '../neighbours.js';
import { RATES } from '../range-coder.js';
import { instantiate, kernelModule, roundUp } from './module.js';

/** From so many trits on it pays to make room for a kernel. */
export const KERNEL_TRITS = 4096;

/** Models of a reader, at most, 8 bytes each. */
const MODELS = 116;
/** A number for each of the two predictors. */
const PAIR_BYTES = 16;
const INPUTS = 15;

interface Exports {
  readPlain(...addresses: number[]): void;
  readByNeighbours(...addresses: number[]): void;
}

/** Ways to read trits that `RangeDecoder.delegate` can leave the reading to. */
export interface RangeCodedKernel {
  /** As TritCoder reads them. */
  plain(bytes: Uint8Array, state: Uint32Array, trits: Int8Array): void;
  /** As `decodeByDefinition` of neighbour-coder.ts reads them. */
  neighbours(bytes: Uint8Array, state: Uint32Array, trits: Int8Array, columns: number, stride: number): void;
}

/** The kernels, or null where the engine has no WebAssembly with SIMD. */
export function openRangeCodedKernel(): RangeCodedKernel | null {
  const module = kernelModule();
  if (module === null) return null;
  return {
    plain(bytes, state, trits) {
      const at = place(bytes, trits, 0);
      const { exports, buffer } = begin(module, bytes, state, at);
      (exports as unknown as Exports).readPlain(
        ...[at.bytes, at.bytes + bytes.length, at.state, at.rates, at.models, trits.length, at.trits],
      );
      end(buffer, state, trits, at);
    },
    neighbours(bytes, state, trits, columns, stride) {
      // So far left of a row may a neighbour be; there are zeros.
      const pad = Math.max(2, 2 * stride);
      const work = PAIR_BYTES * (INPUTS + columns + 1);
      const at = place(bytes, trits, roundUp(4 * 8) + work + 2 * PAIR_BYTES * (pad + columns));
      const { exports, buffer } = begin(module, bytes, state, at);
      const offsets = at.more;
      const workAt = offsets + roundUp(4 * 8);
      new Int32Array(buffer, offsets, 8).set(neighbourOffsets(stride, -1)); // to the zeros before the first
      (exports as unknown as Exports).readByNeighbours(
        ...[at.bytes, at.bytes + bytes.length, at.state, at.rates, at.models, offsets, workAt, workAt + work],
        ...[pad, trits.length / columns, columns, stride > 0 ? 1 : 0, at.trits],
      );
      end(buffer, state, trits, at);
    },
  };
}

/** Where everything lies, with room for more. */
function place(bytes: Uint8Array, trits: Int8Array, more: number) {
  const state = 0;
  const rates = roundUp(4 * 3);
  const models = rates + roundUp(8 * RATES.length);
  const moreAt = models + roundUp(8 * MODELS);
  const bytesAt = moreAt + roundUp(more);
  const tritsAt = bytesAt + roundUp(bytes.length);
  return { state, rates, models, more: moreAt, bytes: bytesAt, trits: tritsAt, end: tritsAt + trits.length };
}

type Places = ReturnType<typeof place>;

function begin(module: WebAssembly.Module, bytes: Uint8Array, state: Uint32Array, at: Places) {
  const { exports, buffer } = instantiate(module, at.end);
  new Uint32Array(buffer, at.state, 3).set(state);
  new Float64Array(buffer, at.rates, RATES.length).set(RATES);
  new Uint8Array(buffer, at.bytes, bytes.length).set(bytes);
  return { exports, buffer };
}

function end(buffer: ArrayBuffer, state: Uint32Array, trits: Int8Array, at: Places): void {
  state.set(new Uint32Array(buffer, at.state, 3));
  trits.set(new Int8Array(buffer, at.trits, trits.length));
}
