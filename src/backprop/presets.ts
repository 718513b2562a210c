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
  steps: 2800,
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

/** A pool's coefficients move by whole trits: its rate is larger. */
const pool: SteConfig = { ...base, artifact: 'pool', learningRate: 0.1 };

/** What `--preset` takes with `--method ste`. */
export const STE_PRESETS = {
  /** A good net in a minute. */
  default: base,
  /** The highest accuracy in 12 KB. */
  compact: { ...base, model: '784-256-256-10', threshold: [1.9, 1.6, 1], steps: 5000 },
  /** The fewest bytes that are still an accurate net: a kilobyte. */
  tiny: {
    ...base,
    model: '784-40-32-10',
    logitScale: 3000,
    threshold: [2.05, 0.9, 0.6],
    steps: 6000,
    batch: 256,
    shift: 0,
    learningRate: 0.01,
  },
  /** A seed pool, to hold against noise-step's. */
  pool: { ...pool, model: '784-256-256-10', pool: 60_000, steps: 3000 },
  /** A seed pool of five kilobytes. */
  'small-pool': { ...pool, model: '784-256-128-10', pool: 18_000, steps: 4000, beta2: 0.999 },
} as const satisfies Record<string, SteConfig>;

export type StePresetName = keyof typeof STE_PRESETS;
