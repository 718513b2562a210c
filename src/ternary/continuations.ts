/**
 * What must be computed again when the sums of one operation are disturbed: the operations that depend on them, which
 * read what is disturbed of their inputs, and else what the undisturbed pass has left.
 */

import { lastReads, type Program } from './liveness.js';

/** An operation that is run again, and the one after it. */
export interface Step {
  /** Index in the program. */
  readonly at: number;
  /** The slots of use from here on that are disturbed. */
  readonly disturbed: ReadonlySet<number>;
  next: Step | null;
}

/** The steps after operations whose sums are disturbed. Those that go on alike from some operation on share what follows. */
export class Continuations {
  readonly #program: Program['program'];
  readonly #last: readonly number[];
  readonly #steps = new Map<string, Step>();

  constructor(graph: Program) {
    this.#program = graph.program;
    this.#last = lastReads(graph);
  }

  get steps(): readonly Step[] {
    return [...this.#steps.values()];
  }

  /** The first step after the operation of an index. */
  after(index: number): Step {
    let disturbed = new Set(this.#program[index].outputs);
    let first: Step | null = null;
    let before: Step | null = null;
    for (let at = index + 1; at < this.#program.length; at++) {
      const { inputs, outputs } = this.#program[at];
      if (!inputs.some((slot) => disturbed.has(slot))) continue;
      disturbed = new Set([...disturbed].filter((slot) => this.#last[slot] >= at));
      const key = [at, ...disturbed].join();
      const known = this.#steps.get(key);
      const step = known ?? { at, disturbed, next: null };
      if (before) before.next = step;
      first ??= step;
      if (known) break;
      this.#steps.set(key, step);
      before = step;
      disturbed = new Set([...disturbed, ...outputs]);
    }
    if (!first) throw new TypeError('a probed operation expected a loss that depends on it');
    return first;
  }
}
