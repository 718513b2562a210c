/** Settings that trainers share. */

import { DIRECTIONS_MAX, STEPS_MAX } from '../random/directions.js';
import { CUT_MAX } from '../random/latents.js';
import { ACTIVATION_MAX } from '../ternary/units.js';
import { type EmbeddingPrecision, EMBEDDINGS } from '../ternary/builders/index.js';
import { decay, flag, integer, oneOf, seedText, text } from './rule.js';
import { setting } from './setting.js';

/** Of models on examples: chains of layers. */
export const LAYER_SETTINGS = {
  model: setting('Model', 'layer widths, such as 784-256-10', text),
  centred: setting('Model', 'whether normalization subtracts the mean', flag),
  gain: setting(
    'Model',
    'activation of a pre-activation of one mean absolute value',
    integer(1, ACTIVATION_MAX),
  ),
  logitScale: setting('Model', 'exponent of the softmax per unit of a logit, in 2^-16', integer(1, 2 ** 20)),
};

/** Of models of texts. */
export const SHAPE_SETTINGS = {
  blocks: setting('Model', 'blocks that are stored', integer(1, 64)),
  width: setting('Model', 'width of the residual stream', integer(8, 4096)),
  heads: setting('Model', 'heads of queries in a block', integer(1, 64)),
  keyHeads: setting('Model', 'heads of keys and values in a block, a divisor of the heads', integer(1, 64)),
  hidden: setting('Model', 'width of a block’s feed-forward', integer(8, 16_384)),
  context: setting('Model', 'bytes of a window', integer(2, 1024)),
  loopFrom: setting('Model', 'first block that is applied again and again, counted from 0', integer(0, 63)),
  loopTo: setting('Model', 'the block after the last that is', integer(1, 64)),
  loops: setting('Model', 'how many times those blocks are applied, with the same weights', integer(1, 64)),
  tied: setting('Model', 'whether the head is the embedding’s matrix; false for noise-step', flag),
  embedding: setting(
    'Model',
    'what embedding and head are made of',
    oneOf(...(Object.keys(EMBEDDINGS) as EmbeddingPrecision[])),
  ),
};

export const RUN_SETTINGS = {
  seed: setting('Training', 'any text', seedText),
  steps: setting('Training', 'updates of the weights', integer(1, STEPS_MAX)),
};

export const EXAMPLE_SETTINGS = {
  holdout: setting(
    'Training',
    'keep the last training examples back and score on them, not on the test set',
    integer(0, 2 ** 31 - 1),
  ),
  batch: setting('Training', 'examples a step', integer(1, 65_536)),
  shift: setting('Training', 'images are shifted by up to so many pixels each way', integer(0, 8)),
};

export const WINDOW_SETTINGS = {
  batch: setting('Training', 'windows a step', integer(1, 4096)),
};

/** Of seeds and latents. */
export const POOL_SETTINGS = {
  cut: setting('What is kept', 'latents above it give ±1; 0: no latents', integer(0, CUT_MAX)),
  pool: setting('What is kept', 'directions of a pool', integer(1, DIRECTIONS_MAX)),
};

export const MOMENT_SETTINGS = {
  beta1: setting('Optimizer', 'decay of the mean of gradients or alignments', decay),
  beta2: setting('Optimizer', 'decay of the mean of their squares', decay),
};
