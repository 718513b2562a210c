/** The compiled kernels of artifacts; what calls them is in the other files here. */

import { unpackKernels } from '../../backend/wasm/kernels.js';
import { kernels } from './kernels.generated.js';

const PAGE_BYTES = 65_536;

let compiled: WebAssembly.Module | null | undefined;

/** The module, or null where the engine has no WebAssembly with SIMD: the definitions give the same. */
export function kernelModule(): WebAssembly.Module | null {
  if (compiled === undefined) {
    const bytes = unpackKernels(kernels).plain;
    const runs = typeof WebAssembly === 'object' && WebAssembly.validate(bytes);
    compiled = runs ? new WebAssembly.Module(bytes) : null;
  }
  return compiled;
}

/** The kernels in a memory of their own of so many bytes, all zero, which is given back with the call. */
export function instantiate(module: WebAssembly.Module, bytes: number) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort() {} } });
  return { exports, buffer: memory.buffer };
}

/** Up to a multiple of 16. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
