/**
 * The configuration of a noise-step run: every number that decides bits of the result. It is
 * stored in the artifact, so a run can be repeated from its own file.
 */

import { NODES_BATCH_MAX, PROBES_MAX } from '../backend/backend.js';
import { ConfigError, expected } from '../errors.js';
import { allocateDirections } from '../random/allocation.js';
import { DIRECTIONS_MAX, NONZEROS_MAX } from '../random/directions.js';
import { falling, integer, oneOf, positive, share } from '../train/rule.js';
import { checkSettings, type ConfigOf, optional, setting } from '../train/setting.js';
import {
  EXAMPLE_SETTINGS,
  LAYER_SETTINGS,
  MOMENT_SETTINGS,
  POOL_SETTINGS,
  RUN_SETTINGS,
  SHAPE_SETTINGS,
  WINDOW_SETTINGS,
} from '../train/shared-settings.js';
import type { Graph } from '../ternary/graph.js';
import { modelOf } from '../train/model.js';

const COMMON_SETTINGS = {
  ...RUN_SETTINGS,
  artifact: setting(
    'What is kept',
    'the coefficients of every step, one coefficient a fixed direction, or the weights',
    oneOf('log', 'pool', 'packed'),
  ),
  train: setting(
    'Training',
    'what is trained; the head, which is the last layer, alone as a control',
    oneOf('all', 'head'),
  ),
  hold: setting('Optimizer', 'share of the steps at the full learning rate, which then falls to zero', share),
  ...MOMENT_SETTINGS,
  probes: setting('Probes', 'antithetic probes of each hidden layer, or matrix', integer(1, PROBES_MAX)),
  sigma: setting(
    'Probes',
    'size of a probe in 1/256 of the mean absolute value that it disturbs',
    integer(1, 256),
  ),
  rewardShift: setting('Probes', 'a probe’s difference of losses is divided by 2 to this', integer(0, 16)),
};

/** Of seed logs and seed pools. */
const SEED_SETTINGS = {
  ...POOL_SETTINGS,
  directions: setting(
    'What is kept',
    'directions that are probed or recorded in a step of a log',
    integer(1, DIRECTIONS_MAX),
  ),
  nonzeros: setting(
    'What is kept',
    'nonzeros of a log’s direction, a stage each: 16,4,1',
    falling(
      `integers in 1…${NONZEROS_MAX}`,
      (value) => Number.isInteger(value) && value >= 1 && value <= NONZEROS_MAX,
    ),
  ),
  nonzerosBelow: setting(
    'What is kept',
    'losses in nats at which the next stage begins, one fewer than the stages: 2,1',
    falling('losses in nats', (value) => value >= 0),
  ),
  keep: setting('What is kept', 'share of a log’s coefficients that is not zero', positive(1, 'a share')),
};

/** Settings of noise-step on labelled examples. */
export const NOISE_STEP_SETTINGS = {
  ...LAYER_SETTINGS,
  ...EXAMPLE_SETTINGS,
  ...COMMON_SETTINGS,
  ...SEED_SETTINGS,
  perturb: setting(
    'Probes',
    'what is disturbed, the weights or the pre-activations of nodes',
    oneOf('weights', 'nodes'),
  ),
  learningRate: setting(
    'Optimizer',
    'largest step of the optimizer, in units of a coefficient',
    positive(100),
  ),
};
export type NoiseStepConfig = ConfigOf<typeof NOISE_STEP_SETTINGS>;

/** Settings of noise-step on texts. */
export const TEXT_NOISE_STEP_SETTINGS = {
  /** Tells the configurations of the trainers apart. */
  method: setting('Training', 'the trainer', oneOf('noise-step')),
  ...SHAPE_SETTINGS,
  ...WINDOW_SETTINGS,
  ...COMMON_SETTINGS,
  ...optional(SEED_SETTINGS),
  learningRate: setting('Optimizer', 'largest step of the optimizer, in units of a latent', positive(127)),
  headRate: setting('Optimizer', 'largest step for the head, whose alignment is exact', positive(127)),
  horizon: setting(
    'Probes',
    'positions after its own that count to the reward of a probe on what later ones see',
    integer(0, 4),
  ),
  grain: setting(
    'What is kept',
    'of a delta: values of eight bits differ from the base’s by multiples of it',
    integer(1, 64),
  ),
};
export type TextNoiseStepConfig = ConfigOf<typeof TEXT_NOISE_STEP_SETTINGS>;

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its model
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkConfig(config: NoiseStepConfig): Graph {
  checkSettings(config, NOISE_STEP_SETTINGS);
  const model = modelOf(config);
  checkSeedSettings(config, model);
  if (config.perturb === 'nodes' && config.batch > NODES_BATCH_MAX) {
    throw expected('batch', `at most ${NODES_BATCH_MAX} for nodes`, config.batch);
  }
  return model;
}

/** What the rules of a seed log and a seed pool read of a configuration. */
export type SeedSettings = Pick<
  NoiseStepConfig,
  | ('artifact' | 'perturb' | 'train' | 'cut' | 'directions' | 'nonzeros' | 'nonzerosBelow' | 'keep' | 'pool')
  | ('steps' | 'learningRate' | 'hold' | 'beta1' | 'beta2')
>;

/** What the rule of real latents reads of a configuration. */
export type LatentSettings = Pick<
  TextNoiseStepConfig,
  'steps' | 'learningRate' | 'headRate' | 'hold' | 'beta1' | 'beta2' | 'grain'
>;

/** The settings of a seed log or pool of a text. Those that are left out are named by the check. */
export function seedSettings(config: TextNoiseStepConfig): SeedSettings {
  for (const key of ['cut', 'directions', 'nonzeros', 'nonzerosBelow', 'keep', 'pool'] as const) {
    if (config[key] === undefined) {
      throw new ConfigError(
        `"${key}" expected a value for a ${config.artifact}: use the preset "${config.artifact}"`,
      );
    }
  }
  return { ...config, perturb: 'nodes' } as SeedSettings;
}

function checkSeedSettings(config: SeedSettings, graph: Graph): void {
  const { nonzeros, nonzerosBelow, artifact, perturb } = config;
  if (nonzeros.length === 0) throw expected('nonzeros', 'at least one number', 'none');
  if (nonzeros.length !== nonzerosBelow.length + 1) {
    throw expected(
      'nonzerosBelow',
      `${nonzeros.length - 1} losses, one less than nonzeros`,
      nonzerosBelow.length,
    );
  }
  const sizes = trainedSizes(graph, 'all');
  const weights = sizes.reduce((sum, size) => sum + size, 0);
  const tensors = sizes.filter((size) => size > 0).length;
  const most = Math.max(...nonzeros);
  if (artifact === 'log' && config.directions * most > weights) {
    throw expected('directions', `directions × nonzeros ≤ ${weights} weights`, config.directions * most);
  }
  if (artifact === 'log' && perturb === 'nodes' && config.directions < tensors) {
    throw expected('directions', `at least ${tensors}, one a tensor`, config.directions);
  }
  if (artifact !== 'log' && config.pool < tensors) {
    throw expected('pool', `at least ${tensors}, one a tensor`, config.pool);
  }
}

/** How many weights of each tensor are trained: all that are not the same for every key, or the head's alone. */
export function trainedSizes({ tensors, initial, program }: Graph, train: 'all' | 'head'): number[] {
  const head = program.find(({ probe }) => probe === 'exact')?.tensors[0];
  return tensors.map(({ rows, columns }, index) => {
    const isTrained = typeof initial[index] === 'string' && (train === 'all' || index === head);
    return isTrained ? rows * columns : 0;
  });
}

/**
 * Directions of each set: one a tensor, none for a tensor that is not trained; or one over the
 * whole model, in a log of the `weights` estimator.
 */
export function directionCounts(config: SeedSettings, graph: Graph): number[] {
  const { artifact, perturb, train, directions, pool } = config;
  const total = artifact === 'log' ? directions : pool;
  const sizes = trainedSizes(graph, train);
  const trained = sizes.flatMap((size, index) => (size > 0 ? [index] : []));
  if (artifact === 'log' && perturb === 'weights' && (train === 'all' || graph.tensors.length === 1))
    return [total];
  const shares = allocateDirections(
    {
      tensors: trained.map((index) => graph.tensors[index]),
      parameters: trained.reduce((sum, index) => sum + sizes[index], 0),
    },
    total,
  );
  const counts = sizes.map(() => 0);
  trained.forEach((index, i) => (counts[index] = shares[i]));
  return counts;
}

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its model
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkTextNoiseStepConfig(config: TextNoiseStepConfig): Graph {
  checkSettings(config, TEXT_NOISE_STEP_SETTINGS);
  if (config.tied) throw expected('tied', 'false: what is aligned needs a head of its own', 'true');
  if (config.batch * config.context > NODES_BATCH_MAX) {
    const most = Math.floor(NODES_BATCH_MAX / config.context);
    throw expected('batch', `at most ${most} windows of ${config.context} bytes`, config.batch);
  }
  const model = modelOf({ model: config });
  if (config.artifact !== 'packed') checkSeedSettings(seedSettings(config), model);
  return model;
}
