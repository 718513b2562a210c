/** Every backend this machine can run, for suites that loop over them. */

import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference/reference.js';
import { openWasm } from '../../src/backend/wasm/wasm.js';

/** The oracle. */
export const reference = new ReferenceBackend();

/** Each backend that must equal the reference, by the name that tests print. */
export const fastBackends: readonly (readonly [string, () => Promise<Backend>])[] = [
  ['wasm, plain SIMD, 1 thread', () => openWasm({ threads: 1, simd: 'plain' })],
  ['wasm, plain SIMD, 2 threads', () => openWasm({ threads: 2, simd: 'plain' })],
  ['wasm, relaxed SIMD, 1 thread', () => openWasm({ threads: 1, simd: 'relaxed' })],
  ['wasm, relaxed SIMD, 2 threads', () => openWasm({ threads: 2, simd: 'relaxed' })],
];
