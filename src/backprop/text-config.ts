/**
 * The configuration of an ste run on a text: every number that decides what it trains. It is stored in the
 * artifact, so a run can be repeated from its own file.
 */

import { expected } from '../errors.js';
import { oneOf } from '../train/rule.js';
import { checkSettings, type ConfigOf, setting } from '../train/setting.js';
import { SHAPE_SETTINGS, WINDOW_SETTINGS } from '../train/shared-settings.js';
import { I8_MAX } from '../ternary/units.js';
import type { Graph } from '../ternary/graph.js';
import { modelOf } from '../train/model.js';
import { EXACT_SUM_MAX, GRADIENT_SETTINGS, SHARD_SETTINGS, THRESHOLD, threshold } from './config.js';
import { TRIT_QUANTIZERS } from './quantizers/names.js';

/** Settings of ste on texts. */
export const TEXT_STE_SETTINGS = {
  ...SHAPE_SETTINGS,
  ...WINDOW_SETTINGS,
  ...GRADIENT_SETTINGS,
  ...SHARD_SETTINGS,
  artifact: setting('What is kept', 'the weights', oneOf('packed')),
  quantizer: setting('Quantizer', 'how the matrices of the blocks become trits', oneOf(...TRIT_QUANTIZERS)),
  threshold: setting('Quantizer', THRESHOLD, threshold),
};
export type TextSteConfig = ConfigOf<typeof TEXT_STE_SETTINGS>;

/**
 * Checks a configuration and what its parts must be to each other.
 * @returns its model
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkTextSteConfig(config: TextSteConfig): Graph {
  checkSettings(config, TEXT_STE_SETTINGS);
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
  return modelOf({ model: config });
}
