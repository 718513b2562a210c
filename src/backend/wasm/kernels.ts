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
  textNext(byte: number, position: number): void;
  unionOfBytes(address: number, length: number): number;
  readonly ALIGNMENT_COLUMNS: WebAssembly.Global;
  readonly CODE_ROWS: WebAssembly.Global;
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
export async function compileKernels(embedded: EmbeddedKernels, simd: SimdChoice): Promise<Kernels> {
  const { relaxed, plain } = unpackKernels(embedded);
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

/** The two builds that {@link EmbeddedKernels} holds; a set of kernels may have no relaxed one. */
export function unpackKernels({ relaxedBytes, plainBytes, deflated }: EmbeddedKernels): {
  readonly relaxed: Uint8Array<ArrayBuffer>;
  readonly plain: Uint8Array<ArrayBuffer>;
} {
  const builds = new Uint8Array(relaxedBytes + plainBytes);
  inflateSync(
    Uint8Array.from(atob(deflated), (character) => character.charCodeAt(0)),
    { out: builds },
  );
  return { relaxed: builds.subarray(0, relaxedBytes), plain: builds.subarray(relaxedBytes) };
}
