/**
 * What backends need of the host beside the language: how many cores there are, threads, and GPUs. Node
 * and browsers give it each in its own way; node.ts is the one module under src/backend that may
 * import Node's.
 */

/** One of the two hosts. */
export interface Platform {
  /** Cores that threads may run on; 1 where threads cannot share memory. */
  coreCount(): number;
  /** Why threads cannot share memory here and what helps, or null where they can. */
  readonly threadsFault: string | null;
  /** Asks the engine for relaxed SIMD, where it is there but off. */
  enableRelaxedSimd(): void;
  /**
   * Starts a helper and waits until it is ready.
   * @throws {BackendError} when it cannot be started, or ends before it is ready
   */
  startHelper(start: HelperStart): Promise<Helper>;
  /** Opens a file by its path, to be read. */
  openFile(path: string | URL): Promise<OpenFile>;
  /**
   * The entry point of WebGPU.
   * @throws {BackendError} when there is none, with what to install
   */
  gpu(): Promise<GPU>;
  /** Makes sure of `navigator.gpu` and its globals, for libraries that look there; errors as those of `gpu`. */
  provideNavigatorGpu(): Promise<void>;
  /** Why it is not worth asking for a GPU, or null where it may be; found out without loading anything. */
  gpuFault(): string | null;
}

/** A file that is open: the part of Node's FileHandle that is used. */
export interface OpenFile {
  stat(): Promise<{ readonly size: number; isFile(): boolean }>;
  read(
    bytes: Uint8Array,
    at: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

/** Everything a helper thread needs. */
export interface HelperStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly thread: number;
  /** Jobs so far; the helper waits for the next. */
  readonly generation: number;
}

/** A running helper. */
export interface Helper {
  /** Resolves when it has ended, by itself or not, with the reason. */
  readonly ended: Promise<string>;
  /** Ends it at once. */
  stop(): Promise<void>;
}

/**
 * The host this runs on. The condition stands here and nowhere else, in this form: the build for
 * browsers knows that `process` is undefined and leaves node.ts out.
 */
export function platform(): Promise<{ readonly platform: Platform }> {
  return typeof process !== 'undefined' && process.versions?.node
    ? import('./node.js')
    : import('./browser.js');
}
