/**
 * Turns at something that one call at a time may use, such as the memory of a placed model: each call waits for those
 * before it, whether or not their callers did.
 */
export class Turns {
  /** Calls that are not done. */
  #waiting = 0;
  /** Settles with the last of them, and never rejects. */
  #last: Promise<unknown> = Promise.resolve();

  /** Whether a call would begin at once. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  /**
   * Runs when all calls before are done, at once where none waits.
   * @returns what the work returns; its failure is the caller's alone
   */
  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.idle ? work() : this.#last.then(work);
    this.#waiting += 1;
    const done = () => {
      this.#waiting -= 1;
    };
    this.#last = result.then(done, done);
    return result;
  }
}
