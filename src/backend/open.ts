/**
 * Choosing a backend by name. A named backend that is missing is an error; only `auto` chooses. The index exports
 * wasm and the reference, so they are loaded already: to import them again when they are asked for would make
 * chunks that only re-export, and bundlers fold those into the page's entry, which may be waiting for them.
 */

import { expected } from '../errors.js';
import type { Backend } from './backend.js';
import { BACKEND_NAMES, type BackendChoice, THREADS_MAX } from './names.js';
import { platform } from './platform/platform.js';
import { ReferenceBackend } from './reference/reference.js';
import { openWasm } from './wasm/wasm.js';

export { BACKEND_NAMES, type BackendChoice } from './names.js';

/**
 * Opens a backend.
 * @param choice - `auto` takes wasm, or the GPU where there is much to do and a trial shows it faster
 * @param threads - for `wasm`; the number of cores if left out
 * @param products - for `auto`: how many products of a weight and an activation are to come, roughly
 * @throws {BackendError} when the backend that was named cannot run here
 * @example const backend = await openBackend('auto');
 */
export async function openBackend(choice: BackendChoice, threads?: number, products = 0): Promise<Backend> {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= THREADS_MAX)) {
    throw expected('threads', `an integer in 1…${THREADS_MAX}`, threads);
  }
  switch (choice) {
    case 'auto': {
      const { openAuto } = await import('./auto.js');
      return openAuto(threads ?? (await coreCount()), products);
    }
    case 'wasm':
      return openWasm({ threads: threads ?? (await coreCount()) });
    case 'reference':
      requireOne(threads, 'reference');
      return new ReferenceBackend();
    case 'webgpu': {
      requireOne(threads, 'webgpu');
      const { openWebgpu } = await import('./webgpu/webgpu.js');
      return openWebgpu();
    }
    default:
      throw expected('backend', BACKEND_NAMES.join(', '), choice satisfies never);
  }
}

function requireOne(threads: number | undefined, backend: string): void {
  if (threads === undefined || threads === 1) return;
  throw expected('threads', `1 with the ${backend} backend`, threads);
}

/** Cores that threads may run on here; 1 in a page that is not cross-origin isolated. */
export async function coreCount(): Promise<number> {
  return (await platform()).platform.coreCount();
}
