/**
 * Presets: tuned on 10,000 held-out training digits of MNIST, never on the test set, and then
 * held to three seeds. docs/presets.md tells what was tried.
 */

import type { NoiseStepConfig } from './config.js';

const base: NoiseStepConfig = {
  model: '784-256-128-10',
  centred: true,
  gain: 25,
  logitScale: 900,
  perturb: 'nodes',
  artifact: 'pool',
  train: 'all',
  seed: '1',
  steps: 3000,
  holdout: 0,
  batch: 1024,
  shift: 0,
  cut: 0,
  directions: 128,
  nonzeros: [16, 4, 1],
  nonzerosBelow: [2, 1],
  keep: 0.5,
  pool: 57_344,
  learningRate: 0.15,
  hold: 0,
  beta1: 0.9,
  beta2: 0.99,
  probes: 8,
  sigma: 51,
  rewardShift: 5,
};

/** What `--preset` takes. */
export const PRESETS = {
  /** A good net in a minute: what `npm start` trains. */
  default: base,
  /** noise_step's recipe: weight perturbation, a seed log, no latents. */
  paper: {
    ...base,
    model: '784-256-256-10',
    gain: 40,
    logitScale: 250,
    perturb: 'weights',
    artifact: 'log',
    steps: 1550,
  },
  /** The fewest bytes. */
  small: { ...base, model: '784-128-64-10', pool: 8192, steps: 4000 },
  /** The highest accuracy. */
  best: {
    ...base,
    model: '784-256-256-10',
    pool: 131_072,
    learningRate: 0.1,
    probes: 16,
    shift: 1,
    steps: 6000,
  },
} as const satisfies Record<string, NoiseStepConfig>;

export type PresetName = keyof typeof PRESETS;
