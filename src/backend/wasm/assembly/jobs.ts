// Jobs, which all threads share: who hands them out, who helps, and which kernel does each. The build makes sets of
// kernels, modules of their own, so that a page loads what it needs: LAYERS says whether one has what chains of
// layers need, SIGNED what i8 activations need, TRAINING whether it has the estimators; what a set does not name is
// not in it.

import { alignTile } from '../../../ops/linear/assembly/alignment';
import { encodeTile } from '../../../ops/linear/assembly/tables';
import { Control, control } from './control';
import { nodesTile } from './nodes';
import { forwardTile } from './program';
import { initTensor, poolTile, stepsTile } from './update';
import { weightsTile } from './weights';

const JOB_FORWARD: i32 = 1;
const JOB_NODES: i32 = 2;
const JOB_ALIGN: i32 = 3;
const JOB_WEIGHTS: i32 = 4;
const JOB_POOL: i32 = 5;
const JOB_INIT: i32 = 6;
const JOB_QUIT: i32 = 7;
const JOB_STEPS: i32 = 8;
const JOB_ENCODE: i32 = 9;

const GENERATION = offsetof<Control>('generation');
const NEXT_TILE = offsetof<Control>('nextTile');
const RUNNING = offsetof<Control>('running');

/** Takes tiles of the job at hand until none is left. */
export function work(): void {
  const job = control.job;
  const tiles = control.tiles;
  for (;;) {
    const tile = atomic.add<i32>(changetype<usize>(control) + NEXT_TILE, 1);
    if (tile >= tiles) return;
    if (job == JOB_FORWARD) forwardTile(tile);
    else if (job == JOB_POOL) poolTile(tile);
    else if (job == JOB_INIT) initTensor(tile);
    else if (job == JOB_STEPS) stepsTile(tile);
    else if (LAYERS && job == JOB_ENCODE) encodeTile(tile);
    else if (TRAINING && job == JOB_NODES) nodesTile(tile);
    else if (LAYERS && TRAINING && job == JOB_ALIGN) alignTile(tile);
    else if (LAYERS && TRAINING && job == JOB_WEIGHTS) weightsTile(tile);
    else unreachable();
  }
}

/** A helper thread's life: waits for jobs until it is told to quit. */
export function serve(generation: i32): void {
  const address = changetype<usize>(control);
  for (;;) {
    while (atomic.load<i32>(address + GENERATION) == generation) {
      atomic.wait<i32>(address + GENERATION, generation, -1);
    }
    generation = atomic.load<i32>(address + GENERATION);
    const quit = control.job == JOB_QUIT;
    if (!quit) work();
    atomic.sub<i32>(address + RUNNING, 1);
    if (quit) return;
  }
}

/** Looks at helpers that are still at work, before the caller must wait for them: some tens of milliseconds. */
const LOOKS: i32 = 1 << 24;

/**
 * Runs one job of `tiles` units on this thread and `helpers` more.
 * @returns whether all is done; if not, it is when `running` has fallen to 0
 */
export function run(job: i32, tiles: i32, helpers: i32): bool {
  const address = changetype<usize>(control);
  control.job = job;
  control.tiles = tiles;
  atomic.store<i32>(address + NEXT_TILE, 0);
  atomic.store<i32>(address + RUNNING, helpers);
  if (helpers > 0) {
    atomic.add<i32>(address + GENERATION, 1);
    atomic.notify(address + GENERATION, helpers);
  }
  if (job != JOB_QUIT) work();
  // Helpers end within a tile of each other: spin, so that no main thread has to sleep (browsers forbid it). But one
  // that has died never ends, and is heard of only by a thread that has returned.
  for (let look = 0; look < LOOKS; look++) {
    if (atomic.load<i32>(address + RUNNING) == 0) return true;
  }
  return false;
}
