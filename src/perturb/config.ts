/**
 * The configuration of a noise-step run: every number that decides bits of the result. It is
 * stored in the artifact, so a run can be repeated from its own file.
 */

import { NODES_BATCH_MAX, PROBES_MAX } from '../backend/backend.js';
import { ConfigError, expected } from '../errors.js';
import { DIRECTIONS_MAX, NONZEROS_MAX, STEPS_MAX } from '../random/directions.js';
import { CUT_MAX } from '../random/latents.js';
import {
  checkSettings,
  choicesOf,
  falling,
  flag,
  integer,
  number,
  oneOf,
  type Rules,
  seedText,
  text,
} from '../settings.js';
import { type Network, networkOf, parseWidths } from '../ternary/network.js';
import { allocateDirections } from '../random/allocation.js';

export interface NoiseStepConfig {
  /** Layer widths, `784-512-10`. */
  model: string;
  /** Whether `normalize` subtracts the mean. */
  centred: boolean;
  /** Activation of a pre-activation of one mean absolute value, 1…127. */
  gain: number;
  /** Binary exponent of the softmax per unit of a logit, in 2⁻¹⁶. */
  logitScale: number;
  /** Where the noise is: on the weights, or on the pre-activations. */
  perturb: 'weights' | 'nodes';
  /** What is kept: the coefficients of every step, one coefficient a fixed direction, or the trits. */
  artifact: 'log' | 'pool' | 'packed';
  /** `head` trains the last layer alone: the control that shows what the estimator adds. */
  train: 'all' | 'head';
  /** Any text; becomes the 64-bit key. */
  seed: string;
  steps: number;
  /** Training examples, the last ones, that are not trained on: the run is scored on them. */
  holdout: number;
  /** Examples a step. */
  batch: number;
  /** Images are shifted at random by up to so many pixels each way; 0: not at all. */
  shift: number;
  /** |latent| above this gives ±1; the latent range is 3·cut + 1. 0: the weight is its own latent. */
  cut: number;
  /** K, directions probed or recorded in a step. */
  directions: number;
  /** Nonzeros of a log's directions, one entry a stage of the schedule. */
  nonzeros: number[];
  /** The loss in nats below which the next stage begins, one entry less than `nonzeros`. */
  nonzerosBelow: number[];
  /** Share of the directions whose coefficient is not zero, by |alignment|. */
  keep: number;
  /** D, directions of the pool. */
  pool: number;
  /** Step of the pool's optimizer, in units of a coefficient. */
  learningRate: number;
  /** Share of the steps at the full learning rate; from there it falls linearly to zero. */
  hold: number;
  beta1: number;
  beta2: number;
  /** R, antithetic probes of each hidden layer. */
  probes: number;
  /** Size of a probe in 1/256 of the layer's mean absolute pre-activation. */
  sigma: number;
  /** A probe's difference of losses is divided by 2^rewardShift. */
  rewardShift: number;
}

const RULES: Rules<NoiseStepConfig> = {
  model: text,
  centred: flag,
  gain: integer(1, 127),
  logitScale: integer(1, 2 ** 20),
  perturb: oneOf('weights', 'nodes'),
  artifact: oneOf('log', 'pool', 'packed'),
  train: oneOf('all', 'head'),
  seed: seedText,
  steps: integer(1, STEPS_MAX),
  holdout: integer(0, 2 ** 31 - 1),
  batch: integer(1, 65_536),
  shift: integer(0, 8),
  cut: integer(0, CUT_MAX),
  directions: integer(1, DIRECTIONS_MAX),
  nonzeros: falling(
    `integers in 1…${NONZEROS_MAX}`,
    (value) => Number.isInteger(value) && value >= 1 && value <= NONZEROS_MAX,
  ),
  nonzerosBelow: falling('losses in nats', (value) => value >= 0),
  keep: number('a share above 0, at most 1', (value) => value > 0 && value <= 1),
  pool: integer(1, DIRECTIONS_MAX),
  learningRate: number('a number above 0, at most 100', (value) => value > 0 && value <= 100),
  hold: number('a share in 0…1', (value) => value >= 0 && value <= 1),
  beta1: number('a number in 0…1, not 1', (value) => value >= 0 && value < 1),
  beta2: number('a number in 0…1, not 1', (value) => value >= 0 && value < 1),
  probes: integer(1, PROBES_MAX),
  sigma: integer(1, 256),
  rewardShift: integer(0, 16),
};

/** The names of all settings. */
export const CONFIG_KEYS = Object.keys(RULES) as (keyof NoiseStepConfig)[];

/** Of the settings that take names alone: which. */
export const CONFIG_CHOICES = choicesOf(RULES);

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its network
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkConfig(config: NoiseStepConfig): Network {
  checkSettings(config, RULES);
  const { nonzeros, nonzerosBelow, artifact, perturb } = config;
  if (nonzeros.length === 0) throw expected('nonzeros', 'at least one number', 'none');
  if (nonzeros.length !== nonzerosBelow.length + 1) {
    throw expected(
      'nonzerosBelow',
      `${nonzeros.length - 1} losses, one less than nonzeros`,
      nonzerosBelow.length,
    );
  }
  const network = networkFor(config);
  const most = Math.max(...nonzeros);
  if (artifact === 'log' && config.directions * most > network.parameters) {
    throw expected(
      'directions',
      `directions × nonzeros ≤ ${network.parameters} weights`,
      config.directions * most,
    );
  }
  if (artifact === 'log' && perturb === 'nodes' && config.directions < network.tensors.length) {
    throw expected('directions', `at least ${network.tensors.length}, one a tensor`, config.directions);
  }
  if (artifact !== 'log' && config.pool < network.tensors.length) {
    throw expected('pool', `at least ${network.tensors.length}, one a tensor`, config.pool);
  }
  if (perturb === 'nodes' && config.batch > NODES_BATCH_MAX) {
    throw expected('batch', `at most ${NODES_BATCH_MAX} for nodes`, config.batch);
  }
  return network;
}

/**
 * The network of a configuration.
 * @throws {ConfigError} when the model or a bound of its arithmetic is not met
 */
export function networkFor(
  config: Pick<NoiseStepConfig, 'model' | 'centred' | 'gain' | 'logitScale'>,
): Network {
  try {
    return networkOf(parseWidths(config.model), config);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(error.message);
    throw error;
  }
}

/**
 * Directions of each set: one a tensor, none for a tensor that is not trained; or one over the
 * whole model, in a log of the `weights` estimator.
 */
export function directionCounts(config: NoiseStepConfig, network: Network): number[] {
  const { artifact, perturb, train, directions, pool } = config;
  const total = artifact === 'log' ? directions : pool;
  const { tensors } = network;
  if (train === 'head' && tensors.length > 1) {
    const { rows, columns } = tensors.at(-1) as Network['tensors'][number];
    return tensors.map((_, tensor) => (tensor < tensors.length - 1 ? 0 : Math.min(total, rows * columns)));
  }
  return artifact === 'log' && perturb === 'weights' ? [total] : allocateDirections(network, total);
}
