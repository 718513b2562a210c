/**
 * Presets: tuned on 10,000 held-out training digits of MNIST, over three seeds, never on the
 * test set. docs/presets.md tells what was tried.
 */

import type { NoiseStepConfig } from './config.js';

const base: NoiseStepConfig = {
  model: '784-256-10',
  centred: true,
  gain: 25,
  logitScale: 480,
  perturb: 'nodes',
  artifact: 'pool',
  train: 'all',
  seed: '1',
  steps: 2400,
  batch: 1024,
  cut: 1,
  directions: 128,
  nonzeros: [16, 4, 1],
  nonzerosBelow: [2, 1],
  keep: 0.5,
  pool: 32_768,
  learningRate: 0.2,
  hold: 0.3,
  beta1: 0.9,
  beta2: 0.99,
  probes: 8,
  sigma: 51,
  rewardShift: 5,
};

/** What `--preset` takes. */
export const PRESETS = {
  /** A good net in a minute or two: what `npm start` trains. */
  default: base,
  /** noise_step as published: weight perturbation, a seed log, no latents. */
  paper: {
    ...base,
    model: '784-256-256-10',
    gain: 40,
    logitScale: 2364,
    perturb: 'weights',
    artifact: 'log',
    steps: 1550,
    cut: 0,
  },
  /** The fewest bytes. */
  small: { ...base, pool: 8192 },
  /** The highest accuracy. */
  best: { ...base, model: '784-1024-10', pool: 131_072, steps: 6000, batch: 2048, probes: 16 },
} as const satisfies Record<string, NoiseStepConfig>;

export type PresetName = keyof typeof PRESETS;
