/** The scales of a model in WGSL, for all operations that bring sums to another unit. */

import { ROUNDING } from '../../backend/webgpu/kernels/rounding.js';
import type { Pass } from '../../backend/webgpu/recipe.js';
import { I8_MAX } from '../../ternary/units.js';
import { FINER_MAX } from './op.js';

/** `scaleAt(word)` of a scale of the model, from `scales`, and `rescale(sum, scale)`. */
export const SCALING = `${ROUNDING}
struct Scale { mantissa: i32, exponent: u32 }
fn scaleAt(word: u32) -> Scale {
  let bytes = scales[word];
  return Scale(i32(bytes & 255u), (bytes >> 8u) & 255u); // 1…127, both
}
fn rescale(sum: i32, scale: Scale) -> i32 {
  return select(roundShift(sum * scale.mantissa, min(scale.exponent, 30u)), 0, scale.exponent > 30u);
}
fn clipI8(value: i32) -> i32 { return clamp(value, -${I8_MAX}, ${I8_MAX}); }
fn finer(sum: i32, scale: Scale) -> i32 { return clamp(rescale(sum, scale), -${FINER_MAX}, ${FINER_MAX}); }`;

/** The word of a scale: a row of the tensor takes four. */
export function scaleWord(at: Pass, scale: number): number {
  return at.tensor(0).at + 4 * scale;
}
