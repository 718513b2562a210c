/**
 * The compiled kernels, relaxed SIMD where the engine has it. Node 20 has relaxed SIMD behind
 * a V8 flag, which can be set while it runs as long as nothing was compiled with it.
 */

import { BackendError } from '../../errors.js';
import { plainKernels, relaxedKernels } from './kernels.generated.js';

/** What the module exports; see assembly/index.ts. */
export interface KernelExports {
  attach(control: number, thread: number): void;
  run(job: number, tiles: number, helpers: number): void;
  serve(generation: number): void;
  step(set: number): void;
  unpack(layer: number, trits: number): void;
  unionOfBytes(address: number, length: number): number;
  readonly ALIGNMENT_ROWS: WebAssembly.Global;
  readonly POOL_ROWS: WebAssembly.Global;
}

export interface Kernels {
  readonly module: WebAssembly.Module;
  readonly relaxed: boolean;
}

/** `auto` takes relaxed SIMD where it works; the others insist. Results are the same. */
export type SimdChoice = 'auto' | 'relaxed' | 'plain';

/**
 * Compiles the kernels of this backend.
 * @throws {BackendError} when the engine lacks the SIMD asked for
 */
export function loadKernels(simd: SimdChoice): Promise<Kernels> {
  return compileKernels({ relaxed: relaxedKernels, plain: plainKernels }, simd);
}

/**
 * Compiles one of two builds of some kernels, as the build script embeds them.
 * @param builds - base64
 * @throws {BackendError} when the engine lacks the SIMD asked for
 */
export async function compileKernels(
  builds: { readonly relaxed: string; readonly plain: string },
  simd: SimdChoice,
): Promise<Kernels> {
  if (simd !== 'plain') {
    const bytes = decodeBase64(builds.relaxed);
    if (WebAssembly.validate(bytes) || (await enableRelaxedSimd(bytes))) {
      return { module: await WebAssembly.compile(bytes), relaxed: true };
    }
    if (simd === 'relaxed')
      throw new BackendError('this JavaScript engine has no relaxed SIMD: use Node ≥ 20.19');
  }
  const bytes = decodeBase64(builds.plain);
  if (!WebAssembly.validate(bytes)) {
    throw new BackendError(
      'this JavaScript engine has no WebAssembly SIMD with threads: use "--backend reference"',
    );
  }
  return { module: await WebAssembly.compile(bytes), relaxed: false };
}

async function enableRelaxedSimd(bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  if (!isNode()) return false;
  const v8 = await import('node:v8');
  v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
  return WebAssembly.validate(bytes);
}

export function isNode(): boolean {
  return typeof process !== 'undefined' && Boolean(process.versions?.node);
}

/** Bytes of base64 text. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
