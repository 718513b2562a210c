// The choices of one input, which depend on a seed and its index alone, so that any input can be made again.

/** xorshift over a mixed seed. */
export class Choices {
  #state;
  constructor(seed, index) {
    let mixed = Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca77);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
    this.#state = mixed ^ (mixed >>> 13) || 1;
  }
  word() {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
  /** 0…below − 1. */
  to(below) {
    return this.word() % below;
  }
  of(list) {
    return list[this.to(list.length)];
  }
  /** Once in so many. */
  once(many) {
    return this.to(many) === 0;
  }
}

/** Integers that files have, and around the limits of readers. */
export const INTEGERS = [
  ...[0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 4096, 65_535, 65_536, 2 ** 20, 2 ** 21, 2 ** 22, 2 ** 24],
];
/** Those beyond. */
export const LARGE = [
  ...[2 ** 26, 2 ** 27, 2 ** 28, 2 ** 28 + 1, 10_000_000, 10_000_001, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1],
];
