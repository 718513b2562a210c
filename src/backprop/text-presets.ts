/** Presets of the ste trainer for texts. docs/presets.md tells what was tried. */

import type { TextSteConfig } from './text-config.js';

const base: TextSteConfig = {
  method: 'ste',
  artifact: 'packed',
  ...{ blocks: 4, width: 128, heads: 4, keyHeads: 4, hidden: 352, context: 64 },
  ...{ loopFrom: 0, loopTo: 4, loops: 1, tied: false, embedding: 'int8' },
  seed: '1',
  steps: 3000,
  batch: 16,
  shards: 2,
  quantizer: 'absmean',
  threshold: 0.8,
  optimizer: 'adamw',
  learningRate: 0.003,
  schedule: 'cosine',
  warmup: 0.05,
  weightDecay: 0.01,
  clipNorm: 0,
  beta1: 0.9,
  beta2: 0.98,
  momentum: 0.95,
};

/** What `--preset` takes with `train text --method ste`. */
export const TEXT_STE_PRESETS = {
  /** 0.87 million weights that have learnt the words, in nine minutes on two cores. */
  default: base,
  /** The least that writes words: two blocks of width 64, in two minutes. */
  tiny: { ...base, blocks: 2, loopTo: 2, width: 64, hidden: 176, steps: 2000 },
} as const satisfies Record<string, TextSteConfig>;

export type TextStePresetName = keyof typeof TEXT_STE_PRESETS;
