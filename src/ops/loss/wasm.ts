// Cross-entropy in fixed point. op.ts defines what this computes.

import { Instruction, slotAt, tileLabels } from '../../backend/wasm/assembly/control';

@unmanaged
export class Loss extends Instruction {
  logitScale: i32;
  exp2: usize; // i32[257]
  log2: usize; // i32[257]
}

export function loss(i: Loss, rows: i32): void {
  for (let row = 0; row < rows; row++) {
    const logits = logitsOf(i, row);
    const at = <usize>(row << 2);
    store<i32>(slotAt(i.out) + at, crossEntropy(i, logits, load<u8>(tileLabels + <usize>row), 0));
    if (i.more >= 0) store<i32>(slotAt(i.more) + at, predict(logits, i.columns));
  }
}

@inline
export function logitsOf(i: Loss, row: i32): usize {
  return slotAt(i.x) + <usize>((row * i.inputStride) << 2);
}

@inline
function exp2Negative(table: usize, exponent: i32): i32 {
  const whole = exponent >> 16;
  if (whole > 20) return 0;
  const at = table + <usize>(((exponent >> 8) & 255) << 2);
  const high = load<i32>(at);
  const step = high - load<i32>(at, 4);
  return (high - ((step * (exponent & 255) + 128) >> 8)) >> whole;
}

@inline
function log2Fixed(table: usize, value: i32): i32 {
  const whole = 31 - clz(value);
  const fraction = ((<u32>value << (31 - whole)) >>> 15) & 0xffff;
  const at = table + <usize>((fraction >>> 8) << 2);
  const low = load<i32>(at);
  const step = load<i32>(at, 4) - low;
  return (whole << 16) + low + ((step * <i32>(fraction & 255) + 128) >> 8);
}

/** The first largest of logits[C]. */
function predict(logits: usize, classes: i32): i32 {
  let best = 0;
  for (let c = 1; c < classes; c++) {
    if (load<i32>(logits + <usize>(c << 2)) > load<i32>(logits + <usize>(best << 2))) best = c;
  }
  return best;
}

/** Cross-entropy of logits[C]; writes softmax − target to errors (i16[C]) unless it is 0. */
export function crossEntropy(i: Loss, logits: usize, label: i32, errors: usize): i32 {
  const classes = i.columns;
  const scale = i.logitScale;
  const exp2 = i.exp2;
  let top = i32.MIN_VALUE;
  for (let c = 0; c < classes; c++) top = max(top, load<i32>(logits + <usize>(c << 2)));
  top *= scale;
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += exp2Negative(exp2, top - load<i32>(logits + <usize>(c << 2)) * scale);
  if (TRAINING && errors) {
    for (let c = 0; c < classes; c++) {
      const weight = exp2Negative(exp2, top - load<i32>(logits + <usize>(c << 2)) * scale);
      const probability = <i32>((((<u32>weight) << 11) + <u32>(sum >> 1)) / <u32>sum);
      store<i16>(errors + <usize>(c << 1), probability - (c == label ? 2048 : 0));
    }
  }
  return log2Fixed(i.log2, sum) - (20 << 16) + top - load<i32>(logits + <usize>(label << 2)) * scale;
}
