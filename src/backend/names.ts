/** What backends are called. Loads nothing, so that the command line can list them at once. */

/** The names that `--backend` takes. */
export const BACKEND_NAMES = ['auto', 'reference', 'wasm', 'webgpu'] as const;
export type BackendChoice = (typeof BACKEND_NAMES)[number];

/** More threads than any machine that this is meant for. */
export const THREADS_MAX = 256;

/** Which SIMD wasm takes: `auto` the relaxed one where it works; the others insist. Results are the same. */
export type SimdChoice = 'auto' | 'relaxed' | 'plain';
