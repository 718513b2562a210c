/** Every backend this machine can run, for suites that loop over them. */

import { afterAll, beforeAll } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference/reference.js';
import { openWasm } from '../../src/backend/wasm/wasm.js';
import { openWebgpu } from '../../src/backend/webgpu/webgpu.js';
import { webgpuFault } from './adapter.js';

/** The oracle. */
export const reference = new ReferenceBackend();

type NamedBackend = readonly [name: string, open: () => Promise<Backend>];

const gpu: readonly NamedBackend[] = webgpuFault === null ? [['webgpu', () => openWebgpu()]] : [];
/** A software adapter takes long to compile kernels, so that whole runs are made without this one. */
const poorGpu: readonly NamedBackend[] = gpu.map(() => [
  'webgpu, no dot4I8Packed, no subgroups, few examples at a time',
  () => openWebgpu({ dot: false, subgroups: false, workBytes: 2 ** 16 }),
]);

/** Each backend that must equal the reference, by the name that tests print. webgpu.test.ts skips where some are left out. */
export const fastBackends: readonly NamedBackend[] = [
  ['wasm, plain SIMD, 1 thread', () => openWasm({ threads: 1, simd: 'plain' })],
  ['wasm, plain SIMD, 2 threads', () => openWasm({ threads: 2, simd: 'plain' })],
  ['wasm, relaxed SIMD, 1 thread', () => openWasm({ threads: 1, simd: 'relaxed' })],
  ['wasm, relaxed SIMD, 2 threads', () => openWasm({ threads: 2, simd: 'relaxed' })],
  ...gpu,
];

/** The same, and a GPU of few features: for the properties of operations. */
export const allBackends: readonly NamedBackend[] = [...fastBackends, ...poorGpu];

/**
 * Opens each fast backend once for all tests of the file or the group that calls it, so that a software adapter
 * compiles its kernels once, and closes them after the last.
 * @returns the open backend of a name
 */
export function keepOpen(): (name: string) => Backend {
  const opened = new Map<string, Backend>();
  beforeAll(async () => {
    for (const [name, open] of fastBackends) opened.set(name, await open());
  });
  afterAll(async () => {
    for (const backend of opened.values()) await backend.close();
  });
  return (name) => opened.get(name) as Backend;
}

/** Runs of a property: a software adapter compiles kernels anew for every shape. */
export function runsOn(name: string): number {
  return name.startsWith('webgpu') ? 3 : 60;
}
