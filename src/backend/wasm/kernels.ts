/** The compiled kernels, relaxed SIMD where the engine has it. */

import { inflateSync } from 'fflate';
import { BackendError } from '../../errors.js';
import { platform } from '../platform/platform.js';
import { kernels } from './kernels.generated.js';

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
  return compileKernels(kernels, simd);
}

/** Two builds of some kernels, as the build script embeds them. */
export interface EmbeddedKernels {
  readonly relaxedBytes: number;
  readonly plainBytes: number;
  /** The relaxed build, then the plain one, deflated as one; base64. */
  readonly deflated: string;
}

/**
 * Compiles one of two builds of some kernels.
 * @throws {BackendError} when the engine lacks the SIMD asked for
 */
export async function compileKernels(
  { relaxedBytes, plainBytes, deflated }: EmbeddedKernels,
  simd: SimdChoice,
): Promise<Kernels> {
  const builds = new Uint8Array(relaxedBytes + plainBytes);
  inflateSync(decodeBase64(deflated), { out: builds });
  const [relaxed, plain] = [builds.subarray(0, relaxedBytes), builds.subarray(relaxedBytes)];
  if (simd !== 'plain') {
    if (!WebAssembly.validate(relaxed)) (await platform()).platform.enableRelaxedSimd();
    if (WebAssembly.validate(relaxed)) {
      return { module: await WebAssembly.compile(relaxed), relaxed: true };
    }
    if (simd === 'relaxed')
      throw new BackendError('this JavaScript engine has no relaxed SIMD: use Node ≥ 20.19');
  }
  if (!WebAssembly.validate(plain)) {
    throw new BackendError(
      'this JavaScript engine has no WebAssembly SIMD with threads: use "--backend reference"',
    );
  }
  return { module: await WebAssembly.compile(plain), relaxed: false };
}

function decodeBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
