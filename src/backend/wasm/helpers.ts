/**
 * The threads that help with one placed model. They are started together when a job comes that is worth it, wait for
 * jobs in shared memory, and end with the model. One that ends before takes the model with it: what a job has left
 * half done cannot be told from what is right.
 */

import { BackendError, printable } from '../../errors.js';
import type { Helper, Platform } from '../platform/platform.js';
import type { JobExports } from './kernels.js';
import { CONTROL } from './structures.js';

/** Milliseconds between two looks at helpers that are still at work when this thread has nothing left to do. */
const LOOK_MS = 1;

export class HelperThreads {
  #helpers: readonly Helper[] = [];
  #failure: BackendError | null = null;

  /**
   * @param count - threads beside the caller's
   * @param control - address of the block through which jobs are handed out
   */
  constructor(
    readonly host: Platform,
    readonly module: WebAssembly.Module,
    readonly kernels: JobExports,
    readonly memory: WebAssembly.Memory,
    readonly control: number,
    readonly count: number,
  ) {}

  /** Whether they run. */
  get running(): boolean {
    return this.#helpers.length > 0;
  }

  /** @throws {BackendError} when a job was not finished: nothing in the memory is what it should be */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /**
   * Starts them, unless they run.
   * @throws {BackendError} when one cannot be started; none runs then
   */
  async start(): Promise<void> {
    this.check();
    if (this.running || this.count === 0) return;
    const generation = this.#word('generation');
    const starts = await Promise.allSettled(
      Array.from({ length: this.count }, (_, helper) =>
        this.host.startHelper({
          ...{ module: this.module, memory: this.memory, control: this.control },
          ...{ thread: helper + 1, generation },
        }),
      ),
    );
    const started = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const refused = starts.find((start) => start.status === 'rejected');
    if (refused) {
      await Promise.all(started.map((helper) => helper.stop()));
      throw refused.reason;
    }
    this.#helpers = started;
    for (const { ended } of started) void ended.then((reason) => this.#ended(reason));
  }

  /**
   * Runs a job on this thread and on those that run.
   * @throws {BackendError} when a helper has ended, now or before
   */
  async run(job: number, tiles: number): Promise<void> {
    this.check();
    let done: boolean;
    try {
      done = this.kernels.run(job, tiles, this.#helpers.length) !== 0;
    } catch (cause) {
      this.#fail(`a kernel failed: ${String(cause)}`);
      throw cause;
    }
    // Helpers that take long, or have ended: of that, this thread hears when it does nothing.
    while (!done) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      this.check();
      done = this.#word('running') === 0;
    }
  }

  /** Ends them. */
  async stop(): Promise<void> {
    const helpers = this.#helpers;
    this.#helpers = [];
    await Promise.all(helpers.map((helper) => helper.stop()));
  }

  #ended(reason: string): void {
    if (this.running) this.#fail(`a thread ended: ${printable(reason)}`);
  }

  #fail(what: string): void {
    this.#failure ??= new BackendError(
      `the wasm backend expected its threads to finish their work, but ${what}: place the model again, on fewer ` +
        'threads if memory is short',
    );
    void this.stop();
  }

  #word(field: 'generation' | 'running'): number {
    return Atomics.load(new Int32Array(this.memory.buffer), this.control / 4 + CONTROL.indexOf(field));
  }
}
