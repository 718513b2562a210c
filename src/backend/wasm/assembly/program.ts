// Programs: lists of instructions that are run on the rows of a tile, and the undisturbed pass. What they compute is
// known to src/ops alone.

import { run } from '../../../ops/wasm';
import { logitsOf, Loss } from '../../../ops/loss/wasm';
import { control, Instruction, slotAt, takeNext, takeTile, tileFirst } from './control';

/** Runs an instruction and those that follow it. */
export function execute(first: usize, rows: i32): void {
  for (let at = first; at != 0; at = changetype<Instruction>(at).next) run(changetype<Instruction>(at), rows);
}

@inline
export function lossOf(): Loss {
  return changetype<Loss>(control.loss);
}

/** The whole program on a tile; losses, predictions and logits to the batch's arrays. Returns the rows of the tile. */
export function forwardTile(tile: i32): i32 {
  const rows = takeTile(tile);
  execute(control.program, rows);
  const loss = lossOf();
  const bytes = <usize>(tileFirst << 2);
  memory.copy(control.losses + bytes, slotAt(loss.out), rows << 2);
  const predictions = slotAt(loss.more);
  for (let row = 0; row < rows; row++) {
    store<u8>(control.predictions + <usize>(tileFirst + row), load<i32>(predictions + <usize>(row << 2)));
  }
  if (control.logits) {
    const width = <usize>(loss.columns << 2);
    for (let row = 0; row < rows; row++) {
      memory.copy(control.logits + <usize>(tileFirst + row) * width, logitsOf(loss, row), width);
    }
  }
  return rows;
}

/** One byte more of a window; its logits in 2⁻¹⁶ bits go to i32 [C, padded]. */
export function next(byte: i32, position: i32, logits: usize): void {
  if (!SIGNED) unreachable(); // no chain of layers has positions
  takeNext(position);
  store<u8>(control.next, byte);
  for (let at = control.program; at != control.loss; at = changetype<Instruction>(at).next) {
    run(changetype<Instruction>(at), 1);
  }
  const loss = lossOf();
  const from = logitsOf(loss, 0);
  const scale = i32x4.splat(loss.logitScale);
  for (let at: usize = 0; at < <usize>(loss.columns << 2); at += 16) {
    v128.store(logits + at, i32x4.mul(v128.load(from + at), scale));
  }
}
