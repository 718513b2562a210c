/** How long work is watched and stopped: an AbortSignal, and a function that is told how far it is. */

/** For work that may take long. */
export interface Watch {
  /** Gives up with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Told now and then how far it is.
   * @param done - of `total` steps, examples or bytes
   */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Milliseconds that work goes on without a look at the signal. */
const BREATH_MS = 50;

/**
 * Interrupts work in a loop, so that timers, clicks and signals have their turn.
 * @example
 * const breath = new Breath(watch);
 * for (let done = 0; done < total; done++) if (breath.due()) await breath.take(done, total);
 */
export class Breath {
  #last = performance.now();

  /** @throws the signal's reason, when it was aborted before */
  constructor(readonly watch: Watch = {}) {
    watch.signal?.throwIfAborted();
  }

  due(): boolean {
    return performance.now() - this.#last >= BREATH_MS;
  }

  /** @throws the signal's reason, when it was aborted */
  async take(done: number, total: number): Promise<void> {
    this.watch.onProgress?.(done, total);
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    this.watch.signal?.throwIfAborted();
    this.#last = performance.now();
  }
}
