// Which kernel runs which operation, by its number in instructions.ts and more-instructions.ts. A set of kernels with LAYERS has those of
// chains of layers, one with SIGNED those of i8 activations; what a set does not name is not in it.

import { Instruction } from '../backend/wasm/assembly/control';
import { Attention, attention } from './attention/wasm';
import { alignEmbedding, embedding } from './embedding/wasm';
import { Gate, gate } from './gate/wasm';
import { alignLinear, Linear, linear } from './linear/wasm';
import { Logits, logits } from './logits/wasm';
import { Loss, loss } from './loss/wasm';
import { Normalize, normalize } from './normalize/wasm';
import { Rescale, rescale } from './rescale/wasm';
import { Residual, residual } from './residual/wasm';
import { RmsNorm, rmsNorm } from './rms-norm/wasm';
import { Rotary, rotary } from './rotary/wasm';

const LINEAR: i32 = 0;
const NORMALIZE: i32 = 1;
const LOSS: i32 = 2;
const RMS_NORM: i32 = 3;
const EMBEDDING: i32 = 4;
const RESCALE: i32 = 5;
const RESIDUAL: i32 = 6;
const ROTARY: i32 = 7;
const ATTENTION: i32 = 8;
const GATE: i32 = 9;
const LOGITS: i32 = 10;

/** Computes the outputs of some rows. */
export function run(i: Instruction, rows: i32): void {
  const at = changetype<usize>(i);
  const op = i.op;
  if (op == LINEAR) linear(changetype<Linear>(at), rows);
  else if (op == LOSS) loss(changetype<Loss>(at), rows);
  else if (LAYERS && op == NORMALIZE) normalize(changetype<Normalize>(at), rows);
  else if (!SIGNED) unreachable();
  else if (op == RMS_NORM) rmsNorm(changetype<RmsNorm>(at), rows);
  else if (op == EMBEDDING) embedding(i, rows);
  else if (op == RESCALE) rescale(changetype<Rescale>(at), rows);
  else if (op == RESIDUAL) residual(changetype<Residual>(at), rows);
  else if (op == ROTARY) rotary(changetype<Rotary>(at), rows);
  else if (op == ATTENTION) attention(changetype<Attention>(at), rows);
  else if (op == GATE) gate(changetype<Gate>(at), rows);
  else if (op == LOGITS) logits(changetype<Logits>(at), rows);
  else unreachable();
}

/** Adds what the errors of some rows say of the weights to sums i32[M, stride]. */
export function align(i: Instruction, rows: i32, errors: usize, sums: usize): void {
  if (!SIGNED) unreachable();
  else if (i.op == LINEAR) alignLinear(changetype<Linear>(changetype<usize>(i)), rows, errors, sums);
  else if (i.op == EMBEDDING) alignEmbedding(i, rows, errors, sums);
  else unreachable();
}
