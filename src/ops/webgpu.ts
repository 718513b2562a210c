/**
 * What runs each operation on the GPU. Those of chains of layers are here; all others are loaded when a program has
 * one.
 */

import type { Recipes } from '../backend/webgpu/recipe.js';
import type { Graph } from '../ternary/graph.js';
import { linear } from './linear/webgpu.js';
import { loss } from './loss/webgpu.js';
import { normalize } from './normalize/webgpu.js';

const LAYERS: Recipes = { linear, normalize, loss };

/** What runs the operations of a program. */
export async function recipesOf({ program }: Pick<Graph, 'program'>): Promise<Recipes> {
  if (program.every(({ op }) => op in LAYERS)) return LAYERS;
  return { ...LAYERS, ...(await import('./more-webgpu.js')).MORE };
}
