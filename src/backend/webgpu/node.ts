/** WebGPU in Node, from the package `webgpu` (Dawn). Browsers have it as `navigator.gpu` and never load this. */

import { loadOptional } from '../optional-package.js';

let provided: Promise<GPU> | undefined;

/**
 * Dawn's `GPU`, one a process.
 * @throws {BackendError} when the package is missing or does not start
 */
export function nodeGpu(): Promise<GPU> {
  provided ??= loadOptional('webgpu', 'webgpu', () => import('webgpu')).then(({ create }) => create([]));
  return provided;
}

/**
 * Gives Node the `navigator.gpu` and the globals that browsers have, for libraries that look there.
 * @throws {BackendError} when the package is missing or does not start
 */
export async function provideNavigatorGpu(): Promise<void> {
  if (globalThis.navigator?.gpu) return;
  const gpu = await nodeGpu();
  const { globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  if (globalThis.navigator) Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu });
  else Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' } });
}
