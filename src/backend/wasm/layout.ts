/** Where arrays lie in a memory, or in a part of one: one after another, each on cache lines of its own. */

/** Bytes of a cache line. */
const LINE = 64;

export class Layout {
  /** The first byte that is free. */
  end: number;

  /** @param start - a multiple of 64 */
  constructor(start = 0) {
    this.end = start;
  }

  /** Takes bytes. */
  take(bytes: number): number {
    const address = this.end;
    this.end = roundUp(address + bytes, LINE);
    return address;
  }
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
