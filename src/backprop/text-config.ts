/**
 * The configuration of an ste run on a text: every number that decides what it trains. It is stored in the
 * artifact, so a run can be repeated from its own file.
 */

import { ConfigError, expected } from '../errors.js';
import { STEPS_MAX } from '../random/directions.js';
import {
  checkSettings,
  choicesOf,
  integer,
  number,
  oneOf,
  type Rules,
  seedText,
  shapeRules,
} from '../settings.js';
import {
  EMBEDDINGS,
  I8_MAX,
  type Transformer,
  transformerOf,
  type TransformerShape,
} from '../ternary/transformer.js';
import { decay, EXACT_SUM_MAX, OPTIMIZERS, type OptimizerName } from './config.js';
import { type QuantizerName, TRIT_QUANTIZERS } from './quantizers/names.js';
import { SCHEDULES, type ScheduleName } from './schedules.js';

export interface TextSteConfig extends TransformerShape {
  /** Tells the configurations of the trainers apart. */
  method: 'ste';
  artifact: 'packed';
  /** Any text; becomes the 64-bit key. */
  seed: string;
  steps: number;
  /** Windows a step. */
  batch: number;
  /**
   * Parts of a batch whose gradients are taken apart and added in order. Threads share them out; the bits do not
   * depend on how many threads there are.
   */
  shards: number;
  /** How the matrices of the blocks become trits: one of `TRIT_QUANTIZERS`. */
  quantizer: QuantizerName;
  /** Of the quantizer `sparse`: weights above so many σ are not zero. */
  threshold: number;
  optimizer: OptimizerName;
  /** Largest step of the optimizer. */
  learningRate: number;
  schedule: ScheduleName;
  /** Share of the steps over which the learning rate rises. */
  warmup: number;
  /** Decoupled decay of the shadow weights, as a factor of the learning rate. */
  weightDecay: number;
  /** Gradients are scaled so that their norm over all weights is at most this; 0: they are not. */
  clipNorm: number;
  beta1: number;
  beta2: number;
  /** Momentum of Muon. */
  momentum: number;
}

const RULES: Rules<TextSteConfig> = {
  method: oneOf('ste'),
  artifact: oneOf('packed'),
  ...shapeRules(Object.keys(EMBEDDINGS)),
  seed: seedText,
  steps: integer(1, STEPS_MAX),
  batch: integer(1, 4096),
  shards: integer(1, 64),
  quantizer: oneOf(...TRIT_QUANTIZERS),
  threshold: number('a number of σ above 0, at most 10', (value) => value > 0 && value <= 10),
  optimizer: oneOf(...OPTIMIZERS),
  learningRate: number('a number above 0, at most 100', (value) => value > 0 && value <= 100),
  schedule: oneOf(...SCHEDULES),
  warmup: number('a share in 0…1, not 1', (value) => value >= 0 && value < 1),
  weightDecay: number('a number in 0…100', (value) => value >= 0 && value <= 100),
  clipNorm: number('a number of at least 0', (value) => value >= 0 && Number.isFinite(value)),
  beta1: decay,
  beta2: decay,
  momentum: decay,
};

/** The names of all settings. */
export const TEXT_STE_KEYS = Object.keys(RULES) as (keyof TextSteConfig)[];

/** Of the settings that take names alone: which. */
export const TEXT_STE_CHOICES = choicesOf(RULES);

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its model
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkTextSteConfig(config: TextSteConfig): Transformer {
  checkSettings(config, RULES);
  const { width, heads, hidden, context, embedding, batch, shards } = config;
  if (batch % shards !== 0) throw expected('batch', `a multiple of ${shards} shards`, batch);
  // The kernels take four values at a time.
  if (width % (4 * heads) !== 0)
    throw expected('width', `a multiple of ${4 * heads}, four times the heads`, width);
  if (hidden % 4 !== 0) throw expected('hidden', 'a multiple of 4', hidden);
  if (context % 4 !== 0) throw expected('context', 'a multiple of 4', context);
  const widest = Math.floor((EXACT_SUM_MAX - 1) / I8_MAX ** 2);
  if (embedding === 'int8' && width > widest) {
    throw expected('width', `at most ${widest}, so that float32 holds sums of i8 by i8 exactly`, width);
  }
  try {
    return transformerOf(config);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(error.message);
    throw error;
  }
}
