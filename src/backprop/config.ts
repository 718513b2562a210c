/**
 * The configuration of an ste run: every number that decides what it trains. It is stored in
 * the artifact, so a run can be repeated from its own file.
 */

import { ConfigError, expected } from '../errors.js';
import { allocateDirections } from '../random/allocation.js';
import { decay, integer, namesOf, number, numbersOf, oneOf, positive } from '../train/rule.js';
import { checkSettings, type ConfigOf, optional, setting } from '../train/setting.js';
import {
  EXAMPLE_SETTINGS,
  LAYER_SETTINGS,
  MOMENT_SETTINGS,
  POOL_SETTINGS,
  RUN_SETTINGS,
} from '../train/shared-settings.js';
import { ACTIVATION_MAX } from '../ternary/units.js';
import type { Graph } from '../ternary/graph.js';
import type { Model } from '../ternary/model.js';
import { VALUE_RANGES } from '../ternary/precision.js';
import { modelOf } from '../train/model.js';
import { QUANTIZER_PRECISIONS, QUANTIZERS } from './quantizers/names.js';
import { SCHEDULES } from './schedules.js';

/** |Σ w·x| must stay below this for float32 to hold it exactly. */
export const EXACT_SUM_MAX = 2 ** 24;

/** The names that `--optimizer` takes. */
export const OPTIMIZERS = ['adamw', 'muon'] as const;
export type OptimizerName = (typeof OPTIMIZERS)[number];

export const THRESHOLD = 'of the quantizer sparse: weights above so many σ are not zero';
/** Of σ. */
export const threshold = positive(10, 'a number of σ');

/** What every run of ste has. */
export const GRADIENT_SETTINGS = {
  /** Tells the configurations of the trainers apart. */
  method: setting('Training', 'the trainer', oneOf('ste')),
  ...RUN_SETTINGS,
  optimizer: setting('Optimizer', 'what moves the weights', oneOf(...OPTIMIZERS)),
  learningRate: setting('Optimizer', 'largest step of the optimizer', positive(100)),
  schedule: setting('Optimizer', 'how the learning rate goes', oneOf(...SCHEDULES)),
  warmup: setting(
    'Optimizer',
    'share of the steps over which the learning rate rises',
    number('a share in 0…1, not 1', (value) => value >= 0 && value < 1),
  ),
  weightDecay: setting(
    'Optimizer',
    'decoupled decay of the shadow weights, as a factor of the learning rate',
    number('a number in 0…100', (value) => value >= 0 && value <= 100),
  ),
  clipNorm: setting(
    'Optimizer',
    'largest norm of the gradient over all weights; 0: no clipping',
    number('a number of at least 0', (value) => value >= 0 && Number.isFinite(value)),
  ),
  ...MOMENT_SETTINGS,
  momentum: setting('Optimizer', 'momentum of muon', decay),
};

/** Parts of a batch whose gradients are added in order; the bits do not depend on how many threads there are. */
export const SHARD_SETTINGS = {
  shards: setting(
    'Training',
    'parts of a batch that threads share out; the result depends on it, not on the threads',
    integer(1, 64),
  ),
};

/** Settings of ste on labelled examples. */
export const STE_SETTINGS = {
  ...LAYER_SETTINGS,
  ...EXAMPLE_SETTINGS,
  ...GRADIENT_SETTINGS,
  ...optional(SHARD_SETTINGS),
  artifact: setting(
    'What is kept',
    'the weights, or one coefficient a fixed direction',
    oneOf('packed', 'pool'),
  ),
  ...POOL_SETTINGS,
  quantizer: setting(
    'Quantizer',
    'how weights become integers, one for all layers or one a layer',
    namesOf(...QUANTIZERS),
  ),
  threshold: setting(
    'Quantizer',
    `${THRESHOLD}, one for all layers or one a layer`,
    numbersOf('numbers of σ above 0, at most 10', threshold),
  ),
};
export type SteConfig = ConfigOf<typeof STE_SETTINGS>;

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its model
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkSteConfig(config: SteConfig): Graph {
  checkSettings(config, STE_SETTINGS);
  const { model, centred, gain, logitScale } = config;
  const layers = modelOf({ model, centred, gain, logitScale }).tensors.length;
  for (const key of ['quantizer', 'threshold'] as const) {
    const { length } = config[key];
    if (length !== 1 && length !== layers) {
      throw new ConfigError(
        `"${key}" expected one entry for all layers, or ${layers}, one a layer, got ${length}: ` +
          'give as many as the model has layers, where a preset has others',
      );
    }
  }
  const { batch, shards = 1 } = config;
  if (batch % shards !== 0) throw expected('batch', `a multiple of ${shards} shards`, batch);
  const precision = Array.from({ length: layers }, (_, layer) =>
    config.artifact === 'pool' ? 'ternary' : QUANTIZER_PRECISIONS[entryOf(config.quantizer, layer)],
  );
  const graph = modelOf({ model, centred, gain, logitScale, precision });
  if (config.artifact === 'pool' && config.pool < layers) {
    throw expected('pool', `at least ${layers}, one a tensor`, config.pool);
  }
  for (const { name, values, columns } of graph.tensors) {
    const [, largest] = VALUE_RANGES[values];
    if (values !== 'scale' && ACTIVATION_MAX * largest * columns >= EXACT_SUM_MAX) {
      throw new ConfigError(
        `"quantizer" expected sums below 2^24, which float32 holds exactly, in every layer: ` +
          `${name} has ${columns} inputs and weights up to ${largest}`,
      );
    }
  }
  return graph;
}

/** The entry for a layer of a setting that has one for all layers, or one a layer. */
export function entryOf<Entry>(entries: readonly Entry[], layer: number): Entry {
  return entries[entries.length === 1 ? 0 : layer];
}

/** Directions of each tensor of a pool; none for packed weights. */
export function steDirections({ artifact, pool }: SteConfig, model: Model): number[] {
  return artifact === 'pool' ? allocateDirections(model, pool) : [];
}
