/**
 * The configuration of an ste run: every number that decides what it trains. It is stored in
 * the artifact, so a run can be repeated from its own file.
 */

import { ConfigError, expected } from '../errors.js';
import { allocateDirections } from '../random/allocation.js';
import { DIRECTIONS_MAX, STEPS_MAX } from '../random/directions.js';
import { CUT_MAX } from '../random/latents.js';
import {
  checkSettings,
  choicesOf,
  integer,
  listOf,
  namesOf,
  number,
  oneOf,
  optional,
  flag,
  type Rules,
  seedText,
  text,
} from '../settings.js';
import { ACTIVATION_MAX, type Network, networkOf, parseWidths } from '../ternary/network.js';
import { QUANTIZER_PRECISIONS, QUANTIZERS, type QuantizerName } from './quantizers/names.js';
import { SCHEDULES, type ScheduleName } from './schedules.js';

/** |Σ w·x| must stay below this for float32 to hold it exactly. */
export const EXACT_SUM_MAX = 2 ** 24;

/** The names that `--optimizer` takes. */
export const OPTIMIZERS = ['adamw', 'muon'] as const;
export type OptimizerName = (typeof OPTIMIZERS)[number];

export interface SteConfig {
  /** Tells the configurations of the two trainers apart. */
  method: 'ste';
  /** Layer widths, `784-256-256-256-10`. */
  model: string;
  /** Whether `normalize` subtracts the mean. */
  centred: boolean;
  /** Activation of a pre-activation of one mean absolute value, 1…127. */
  gain: number;
  /** Binary exponent of the softmax per unit of a logit, in 2⁻¹⁶. */
  logitScale: number;
  /** What is kept: the weights, or one coefficient a fixed direction. */
  artifact: 'packed' | 'pool';
  /** How shadow weights become integers: one for all layers, or one a layer. A pool has its own. */
  quantizer: QuantizerName[];
  /** Of the quantizer `sparse`: weights above so many σ are not zero; one for all layers, or one a layer. */
  threshold: number[];
  /** |latent| of a pool above this gives ±1. */
  cut: number;
  /** D, directions of the pool. */
  pool: number;
  /** Any text; becomes the 64-bit key. */
  seed: string;
  steps: number;
  /** Training examples, the last ones, that are not trained on: the run is scored on them. */
  holdout: number;
  /** Examples a step. */
  batch: number;
  /**
   * Parts of a batch whose gradients are taken apart and added in order. Threads share them out; the bits do not
   * depend on how many threads there are. Left out: 1.
   */
  shards?: number;
  /** Images are shifted at random by up to so many pixels each way; 0: not at all. */
  shift: number;
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

export const decay = number('a number in 0…1, not 1', (value) => value >= 0 && value < 1);

const RULES: Rules<SteConfig> = {
  method: oneOf('ste'),
  model: text,
  centred: flag,
  gain: integer(1, ACTIVATION_MAX),
  logitScale: integer(1, 2 ** 20),
  artifact: oneOf('packed', 'pool'),
  quantizer: namesOf(...QUANTIZERS),
  threshold: listOf(
    'numbers of σ above 0, at most 10',
    (value) => typeof value === 'number' && value > 0 && value <= 10,
  ),
  cut: integer(0, CUT_MAX),
  pool: integer(1, DIRECTIONS_MAX),
  seed: seedText,
  steps: integer(1, STEPS_MAX),
  holdout: integer(0, 2 ** 31 - 1),
  batch: integer(1, 65_536),
  shards: optional(integer(1, 64)),
  shift: integer(0, 8),
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
export const STE_KEYS = Object.keys(RULES) as (keyof SteConfig)[];

/** Of the settings that take names alone: which. */
export const STE_CHOICES = choicesOf(RULES);

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its network
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkSteConfig(config: SteConfig): Network {
  checkSettings(config, RULES);
  const layers = layersOf(config.model);
  for (const key of ['quantizer', 'threshold'] as const) {
    const { length } = config[key];
    if (length !== 1 && length !== layers) {
      throw expected(key, `one entry for all layers, or ${layers}, one a layer`, `${length} entries`);
    }
  }
  const { batch, shards = 1 } = config;
  if (batch % shards !== 0) throw expected('batch', `a multiple of ${shards} shards`, batch);
  const network = steNetwork(config);
  if (config.artifact === 'pool' && config.pool < layers) {
    throw expected('pool', `at least ${layers}, one a tensor`, config.pool);
  }
  for (const { weights, largest } of network.layers) {
    if (ACTIVATION_MAX * largest * weights.columns >= EXACT_SUM_MAX) {
      throw new ConfigError(
        `"quantizer" expected sums below 2^24, which float32 holds exactly, in every layer: ` +
          `${weights.name} has ${weights.columns} inputs and weights up to ${largest}`,
      );
    }
  }
  return network;
}

/**
 * The network of a configuration.
 * @throws {ConfigError} when the model or a bound of its arithmetic is not met
 */
export function steNetwork(config: SteConfig): Network {
  try {
    const widths = parseWidths(config.model);
    const precision = widths.slice(1).map((_, layer) => {
      return config.artifact === 'pool' ? 'ternary' : QUANTIZER_PRECISIONS[entryOf(config.quantizer, layer)];
    });
    return networkOf(widths, { ...config, precision });
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(error.message);
    throw error;
  }
}

/** The entry for a layer of a setting that has one for all layers, or one a layer. */
export function entryOf<Entry>(entries: readonly Entry[], layer: number): Entry {
  return entries[entries.length === 1 ? 0 : layer];
}

/** Directions of each tensor of a pool; none for packed weights. */
export function steDirections({ artifact, pool }: SteConfig, network: Network): number[] {
  return artifact === 'pool' ? allocateDirections(network, pool) : [];
}

function layersOf(model: string): number {
  try {
    return parseWidths(model).length - 1;
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
}
