/**
 * An allocator for TensorFlow.js's wasm backend that leaves room around every array, filled with a pattern: a kernel
 * that writes past an end is found by the pattern that is gone. The arrays and the kernels are the real ones.
 */

import * as tf from '@tensorflow/tfjs-core';

/** The parts of tfjs-wasm's Emscripten module that arrays come from. */
interface Allocator {
  _malloc(bytes: number): number;
  _free(address: number): void;
  readonly HEAPU8: Uint8Array;
}

/** Bytes on either side of an array; a multiple of the allocator's own alignment. */
const ROOM = 256;
const PATTERN = 0xa5;

export class GuardedMemory {
  readonly #wasm: Allocator;
  readonly #malloc: Allocator['_malloc'];
  readonly #free: Allocator['_free'];
  /** Bytes of the arrays that are alive, by address. */
  readonly #sizes = new Map<number, number>();
  #faults: string[] = [];

  /** Guards all arrays that the current backend, tfjs-wasm, makes from now on. */
  constructor() {
    this.#wasm = (tf.backend() as unknown as { wasm: Allocator }).wasm;
    this.#malloc = this.#wasm._malloc;
    this.#free = this.#wasm._free;
    this.#wasm._malloc = (bytes) => {
      const address = this.#malloc(bytes + 2 * ROOM) + ROOM;
      this.#sizes.set(address, bytes);
      for (const [from, to] of roomsOf(address, bytes)) this.#wasm.HEAPU8.fill(PATTERN, from, to);
      return address;
    };
    this.#wasm._free = (address) => {
      if (!this.#sizes.has(address)) return this.#free(address); // from before
      this.#check(address);
      this.#sizes.delete(address);
      this.#free(address - ROOM);
    };
  }

  /** What was written outside of arrays since the last call, those that are alive among them. */
  faults(): readonly string[] {
    for (const address of this.#sizes.keys()) this.#check(address);
    const found = this.#faults;
    this.#faults = [];
    return found;
  }

  /** Makes arrays as before. */
  restore(): void {
    this.#wasm._malloc = this.#malloc;
    this.#wasm._free = (address) => this.#free(this.#sizes.has(address) ? address - ROOM : address);
  }

  #check(address: number): void {
    const bytes = this.#sizes.get(address) as number;
    for (const [from, to] of roomsOf(address, bytes)) {
      const at = this.#wasm.HEAPU8.subarray(from, to).findIndex((byte) => byte !== PATTERN);
      if (at >= 0) this.#faults.push(`byte ${from + at - address} of an array of ${bytes} bytes`);
    }
  }
}

function roomsOf(address: number, bytes: number): [from: number, to: number][] {
  return [
    [address - ROOM, address],
    [address + bytes, address + bytes + ROOM],
  ];
}
