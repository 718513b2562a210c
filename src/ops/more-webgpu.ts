/** What runs the operations that no chain of layers has on the GPU. */

import type { Recipes } from '../backend/webgpu/recipe.js';
import { attention } from './attention/webgpu.js';
import { embedding } from './embedding/webgpu.js';
import { gate } from './gate/webgpu.js';
import { logits } from './logits/webgpu.js';
import { rescale } from './rescale/webgpu.js';
import { residual } from './residual/webgpu.js';
import { rmsNorm } from './rms-norm/webgpu.js';
import { rotary } from './rotary/webgpu.js';

export const MORE: Recipes = {
  ...{ 'rms-norm': rmsNorm, embedding, rescale, residual },
  ...{ rotary, attention, gate, logits },
};
