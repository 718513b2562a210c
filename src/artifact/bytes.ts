/**
 * Reading and writing of the container's primitive values: bytes, little-endian words and
 * canonical LEB128 integers. Every read is checked; a fault names the section and the offset.
 */

import { ArtifactError } from '../errors.js';

/** A cursor over bytes that may lie. */
export class ByteReader {
  #at: number;

  /**
   * @param bytes - the whole file, or a part of it
   * @param section - what faults name
   * @param base - where the bytes begin in the file; offsets in faults count from the file's start
   */
  constructor(
    readonly bytes: Uint8Array,
    public section: string,
    start = 0,
    readonly end = bytes.length,
    readonly base = 0,
  ) {
    this.#at = start;
  }

  get offset(): number {
    return this.#at;
  }

  get left(): number {
    return this.end - this.#at;
  }

  /** A view of the next bytes. */
  take(length: number, what: string): Uint8Array {
    if (length > this.left) throw this.fault(`expected ${length} bytes of ${what}, got ${this.left}`);
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  u8(what: string): number {
    return this.take(1, what)[0];
  }

  u32(what: string): number {
    const [a, b, c, d] = this.take(4, what) as unknown as [number, number, number, number];
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** An integer of up to 32 bits in LEB128, in its shortest form. */
  integer(what: string, maximum = 2 ** 32 - 1): number {
    const start = this.#at;
    let value = 0;
    for (let place = 0; place < 5; place++) {
      const byte = this.u8(what);
      value += (byte & 127) * 2 ** (7 * place);
      if (byte < 128) {
        if (byte === 0 && place > 0) throw this.fault(`expected the shortest form of ${what}`, start);
        if (value > maximum) throw this.fault(`expected ${what} up to ${maximum}, got ${value}`, start);
        return value;
      }
    }
    throw this.fault(`expected ${what} of at most 5 bytes`, start);
  }

  expectEnd(): void {
    if (this.left > 0) throw this.fault(`expected the end, got ${this.left} more bytes`);
  }

  fault(what: string, offset = this.#at): ArtifactError {
    return new ArtifactError(`${this.section} at byte ${this.base + offset}: ${what}`);
  }
}

/** Grows as it is written to. */
export class ByteWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  raw(bytes: Uint8Array): this {
    if (this.#length + bytes.length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + bytes.length));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  u8(value: number): this {
    return this.raw(Uint8Array.of(value));
  }

  u32(value: number): this {
    return this.raw(Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }

  integer(value: number): this {
    let left = value;
    while (left > 127) {
      this.u8((left % 128) | 128);
      left = Math.floor(left / 128);
    }
    return this.u8(left);
  }

  /** What was written, as a copy of its own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}
