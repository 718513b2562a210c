/**
 * Presets: tuned on 10,000 held-out training digits of MNIST, never on the test set, and then
 * held to three seeds. docs/presets.md tells what was tried.
 */

import type { NoiseStepConfig, TextNoiseStepConfig } from './config.js';

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

const textBase: TextNoiseStepConfig = {
  method: 'noise-step',
  artifact: 'packed',
  ...{ blocks: 1, width: 128, heads: 4, keyHeads: 4, hidden: 256, context: 64 },
  ...{ loopFrom: 0, loopTo: 1, loops: 1, tied: false, embedding: 'int8' },
  train: 'all',
  seed: '1',
  steps: 2500,
  batch: 16,
  learningRate: 2.5,
  headRate: 0.32,
  hold: 0,
  beta1: 0.9,
  beta2: 0.99,
  probes: 1,
  sigma: 51,
  rewardShift: 1,
  horizon: 2,
  grain: 1,
};

/** What a log and a pool have beside it: latents of a byte, as packed values have them. */
const seeds = {
  ...{ cut: 42, directions: 2048, nonzeros: [100, 30], nonzerosBelow: [3], keep: 0.5, pool: 65_536 },
} satisfies Partial<TextNoiseStepConfig>;

/** What `--preset` takes with `train text --method noise-step`. */
export const TEXT_NOISE_STEP_PRESETS = {
  /** One block, from scratch, by node perturbation alone. */
  default: textBase,
  /** The head of a base alone: the usual with `--base`. */
  tune: { ...textBase, train: 'head', steps: 600, batch: 32, headRate: 1, grain: 24 },
  /** A coefficient for each of fixed directions. */
  pool: { ...textBase, ...seeds, artifact: 'pool' },
  /** The coefficients of every step, which prove what was trained. */
  log: { ...textBase, ...seeds, artifact: 'log', cut: 8, steps: 600 },
} as const satisfies Record<string, TextNoiseStepConfig>;

export type TextNoiseStepPresetName = keyof typeof TEXT_NOISE_STEP_PRESETS;
