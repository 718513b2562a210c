/** The model of a configuration. */

import { ConfigError } from '../errors.js';
import { graphOf, type ModelDescription } from '../ternary/builders/index.js';
import type { Graph } from '../ternary/graph.js';

/**
 * Builds the model that a configuration describes.
 * @throws {ConfigError} when it is none, or a bound of its arithmetic is not met
 */
export function modelOf(description: ModelDescription): Graph {
  try {
    return graphOf(description);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(error.message);
    throw error;
  }
}
