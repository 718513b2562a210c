/**
 * The configuration of a noise-step run on a text: every number that decides bits of the result. It is stored in
 * the artifact, so a run can be repeated from its own file.
 */

import { NODES_BATCH_MAX, PROBES_MAX } from '../backend/backend.js';
import { ConfigError, expected } from '../errors.js';
import { STEPS_MAX } from '../random/directions.js';
import { checkSettings, choicesOf, flag, integer, number, oneOf, type Rules, seedText } from '../settings.js';
import {
  EMBEDDINGS,
  type Transformer,
  transformerOf,
  type TransformerShape,
} from '../ternary/transformer.js';

export interface TextNoiseStepConfig extends TransformerShape {
  /** Tells the configurations of the trainers apart. */
  method: 'noise-step';
  artifact: 'packed';
  /** `head` trains the head alone: the control that shows what the probes add, and what fine-tunes in few bytes. */
  train: 'all' | 'head';
  /** Any text; becomes the 64-bit key. */
  seed: string;
  steps: number;
  /** Windows a step. */
  batch: number;
  /** Step of the optimizer, in units of a latent, whose range is ±127. */
  learningRate: number;
  /** The same of the head, whose alignment is exact. */
  headRate: number;
  /** Share of the steps at the full learning rate; from there it falls linearly to zero. */
  hold: number;
  beta1: number;
  beta2: number;
  /** R, antithetic probes of each matrix as it is applied, and of the embedding. */
  probes: number;
  /** Size of a probe in 1/256 of the mean absolute sum at a position. */
  sigma: number;
  /** A probe's difference of losses is divided by 2^rewardShift. */
  rewardShift: number;
  /** Positions after its own that count to the reward of a probe on embedding, queries, keys and values. */
  horizon: number;
  /** Of a delta: values of eight bits differ from the base's by multiples of this, so that few do. */
  grain: number;
}

const RULES: Rules<TextNoiseStepConfig> = {
  method: oneOf('noise-step'),
  artifact: oneOf('packed'),
  blocks: integer(1, 64),
  width: integer(8, 4096),
  heads: integer(1, 64),
  keyHeads: integer(1, 64),
  hidden: integer(8, 16_384),
  context: integer(2, 1024),
  loopFrom: integer(0, 63),
  loopTo: integer(1, 64),
  loops: integer(1, 64),
  tied: flag,
  embedding: oneOf(...Object.keys(EMBEDDINGS)),
  train: oneOf('all', 'head'),
  seed: seedText,
  steps: integer(1, STEPS_MAX),
  batch: integer(1, 4096),
  learningRate: number('a number above 0, at most 127', (value) => value > 0 && value <= 127),
  headRate: number('a number above 0, at most 127', (value) => value > 0 && value <= 127),
  hold: number('a share in 0…1', (value) => value >= 0 && value <= 1),
  beta1: number('a number in 0…1, not 1', (value) => value >= 0 && value < 1),
  beta2: number('a number in 0…1, not 1', (value) => value >= 0 && value < 1),
  probes: integer(1, PROBES_MAX),
  sigma: integer(1, 256),
  rewardShift: integer(0, 16),
  horizon: integer(0, 4),
  grain: integer(1, 64),
};

/** The names of all settings. */
export const TEXT_NOISE_STEP_KEYS = Object.keys(RULES) as (keyof TextNoiseStepConfig)[];

/** Of the settings that take names alone: which. */
export const TEXT_NOISE_STEP_CHOICES = choicesOf(RULES);

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its model
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkTextNoiseStepConfig(config: TextNoiseStepConfig): Transformer {
  checkSettings(config, RULES);
  if (config.tied) throw expected('tied', 'false: what is aligned needs a head of its own', 'true');
  if (config.batch * config.context > NODES_BATCH_MAX) {
    const most = Math.floor(NODES_BATCH_MAX / config.context);
    throw expected('batch', `at most ${most} windows of ${config.context} bytes`, config.batch);
  }
  try {
    return transformerOf(config);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(error.message);
    throw error;
  }
}
