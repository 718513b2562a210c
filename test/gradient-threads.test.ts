/** Threads of the ste trainer for texts that end when they should not, and steps that nobody awaits. */

import type { Worker } from 'node:worker_threads';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
// Workers are started by a path: of the built package.
import { startGradientThreads } from '../dist/src/backprop/gradient-threads.js';
import { openTensorflow, SteTrainer, TEXT_STE_PRESETS } from '../dist/src/backprop/index.js';
import { BackendError } from '../dist/src/errors.js';
import { transformerOf } from '../dist/src/ternary/builders/transformer.js';
import { randomText, SMALL_SHAPE } from './support/transformers.js';

const config = {
  ...TEXT_STE_PRESETS.default,
  ...SMALL_SHAPE,
  ...{ seed: 'threads', steps: 6, batch: 6, shards: 3 },
};
const model = transformerOf(SMALL_SHAPE);
const text = randomText(1, 500);

/** The threads that were made, as Node tells of them. */
let threads: Worker[];
let onThread: (worker: Worker) => void;
beforeAll(() => openTensorflow('wasm'));
beforeEach(() => {
  threads = [];
  onThread = (worker) => threads.push(worker);
  process.on('worker', (worker: Worker) => onThread(worker));
});
afterEach(() => {
  process.removeAllListeners('worker');
});

const exitOf = (worker: Worker) => new Promise((resolve) => worker.once('exit', resolve));

describe('threads that compute gradients', () => {
  it('one that ends fails the step, and every later one, and stops the others', async () => {
    const helpers = await startGradientThreads(model, 3, 3);
    const trainer = await SteTrainer.ofText(config, text, { helpers });
    await trainer.next();
    expect(threads).toHaveLength(2);
    const exits = threads.map(exitOf);
    void threads[1].terminate();
    const fault = await trainer
      .next()
      .then(
        () => trainer.next(), // it had answered before it ended
        (error: unknown) => Promise.reject(error),
      )
      .catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(BackendError);
    expect((fault as Error).message).toMatch(/but one ended: exit code \d+: use fewer/);
    await Promise.all(exits);
    await expect(trainer.next()).rejects.toThrow(BackendError);
    await trainer.release();
  });

  it('one that ends before it is ready is a BackendError, and none is left', async () => {
    const exits: Promise<unknown>[] = [];
    onThread = (worker) => {
      exits.push(exitOf(worker));
      if (exits.length === 2) void worker.terminate();
    };
    await expect(startGradientThreads(model, 3, 3)).rejects.toThrow(BackendError);
    expect(exits).toHaveLength(2);
    await Promise.all(exits);
  });

  it('give steps that overlap the losses of steps that are awaited', async () => {
    const losses: number[][] = [];
    for (const awaited of [true, false]) {
      const helpers = await startGradientThreads(model, 3, 2);
      const trainer = await SteTrainer.ofText(config, text, { helpers });
      const steps: Promise<{ loss: number }>[] = [];
      for (let i = 0; i < config.steps; i++) {
        steps.push(trainer.next());
        if (awaited) await steps.at(-1);
      }
      losses.push((await Promise.all(steps)).map(({ loss }) => loss));
      await trainer.release();
    }
    expect(losses[1]).toEqual(losses[0]);
  });
});
