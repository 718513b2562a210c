/** Presets of the noise-step trainer for texts. docs/presets.md tells what was tried. */

import type { TextNoiseStepConfig } from './text-config.js';

const base: TextNoiseStepConfig = {
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

/** What `--preset` takes with `train text --method noise-step`. */
export const TEXT_NOISE_STEP_PRESETS = {
  /** One block, from scratch, by node perturbation alone. */
  default: base,
  /** The head of a base alone: the usual with `--base`. */
  tune: { ...base, train: 'head', steps: 600, batch: 32, headRate: 1, grain: 24 },
} as const satisfies Record<string, TextNoiseStepConfig>;

export type TextNoiseStepPresetName = keyof typeof TEXT_NOISE_STEP_PRESETS;
