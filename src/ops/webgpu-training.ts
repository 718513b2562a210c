/** What training needs of operations on the GPU; loaded with the first model that is placed to be trained. */

import type { Trainings } from '../backend/webgpu/recipe.js';
import { embedding } from './embedding/webgpu-training.js';
import { linear } from './linear/webgpu-training.js';
import { loss } from './loss/webgpu-training.js';
import { normalize } from './normalize/webgpu-training.js';

export const TRAININGS: Trainings = { linear, embedding, normalize, loss };
