/**
 * Presets of the ste trainer: tuned on 10,000 held-out training digits of MNIST, never on the
 * test set. docs/presets.md tells what was tried.
 */

import type { SteConfig } from './config.js';

const base: SteConfig = {
  method: 'ste',
  model: '784-256-256-256-10',
  centred: true,
  gain: 25,
  logitScale: 900,
  artifact: 'packed',
  quantizer: ['sparse'],
  threshold: [0.8],
  cut: 0,
  pool: 57_344,
  seed: '1',
  steps: 4000,
  holdout: 0,
  batch: 512,
  shift: 1,
  optimizer: 'adamw',
  learningRate: 0.004,
  schedule: 'cosine',
  warmup: 0.02,
  weightDecay: 0,
  clipNorm: 0,
  beta1: 0.9,
  beta2: 0.99,
  momentum: 0.95,
};

/** What `--preset` takes with `--method ste`. */
export const STE_PRESETS = {
  /** The ternary net that others are measured by. */
  default: base,
} as const satisfies Record<string, SteConfig>;

export type StePresetName = keyof typeof STE_PRESETS;
