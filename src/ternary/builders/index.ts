/** The models that there are: what describes each, and its builder. Nobody else tells them apart. */

import { LAYERS_RULES, type LayersDescription, type Network, perceptronOf } from './perceptron.js';
import { SHAPE_RULES, type ShapeDescription, type Transformer, transformerOf } from './transformer.js';

export { type EmbeddingPrecision, EMBEDDINGS } from './transformer.js';

/** The keys of a header that describe its model. */
export type ModelDescription = LayersDescription | ShapeDescription;

/** What a key must be, in words and as a test. */
export type KeyRules = Readonly<Record<string, readonly [what: string, holds: (value: unknown) => boolean]>>;

/**
 * Builds the model that a header, or a configuration, describes.
 * @throws {RangeError} when a bound of the arithmetic is not met
 * @example graphOf({ model: '784-512-10', centred: true, gain: 40, logitScale: 300 }).parameters // 406528
 */
export function graphOf(description: LayersDescription): Network;
export function graphOf(description: ShapeDescription): Transformer;
export function graphOf(description: ModelDescription): Network | Transformer;
export function graphOf(description: ModelDescription): Network | Transformer {
  if (isLayers(description)) return perceptronOf(description);
  return transformerOf(description.model);
}

/** The rules of the keys that describe a model, by what its key `model` is. */
export function descriptionRules(model: unknown): KeyRules {
  return typeof model === 'object' && model !== null && !Array.isArray(model) ? SHAPE_RULES : LAYERS_RULES;
}

function isLayers(description: ModelDescription): description is LayersDescription {
  return typeof description.model === 'string';
}
