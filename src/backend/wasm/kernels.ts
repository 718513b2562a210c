/**
 * The compiled kernels, relaxed SIMD where the engine has it. They are in sets, each embedded in a module of its
 * own that is loaded when it is asked for: a page that runs an artifact loads the few kilobytes of its set.
 */

import { inflateSync } from 'fflate';
import { BackendError } from '../../errors.js';
import type { SimdChoice } from '../names.js';
import { platform } from '../platform/platform.js';

/** The sets: what chains of layers need, what i8 activations need, each with or without training; or all. */
const SETS = {
  layers: () => import('./layers.generated.js'),
  'layers-training': () => import('./layers-training.generated.js'),
  signed: () => import('./signed.generated.js'),
  'signed-training': () => import('./signed-training.generated.js'),
  all: () => import('./all.generated.js'),
};
export type KernelSet = keyof typeof SETS;

/** How jobs are run; see assembly/jobs.ts. */
export interface JobExports {
  attach(control: number, thread: number): void;
  /** @returns 1 when all is done, 0 when helpers are still at work */
  run(job: number, tiles: number, helpers: number): number;
  serve(generation: number): void;
}

/** What every set exports; see assembly/index.ts. */
export interface KernelExports extends JobExports {
  next(byte: number, position: number, logits: number): void;
  step(set: number): void;
  unpack(tensor: number, values: number): void;
  unionOfBytes(address: number, length: number): number;
  readonly CODE_ROWS: WebAssembly.Global;
  readonly POOL_ROWS: WebAssembly.Global;
  readonly ALIGNMENT_COLUMNS: WebAssembly.Global;
}

export interface Kernels {
  readonly module: WebAssembly.Module;
  readonly relaxed: boolean;
}

/**
 * Loads and compiles a set of the kernels of this backend.
 * @throws {BackendError} when the engine lacks the SIMD asked for
 */
export async function loadKernels(set: KernelSet, simd: SimdChoice): Promise<Kernels> {
  return compileKernels((await SETS[set]()).kernels, simd);
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
