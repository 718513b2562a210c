/**
 * Calls on one placed model that nobody awaits: each has the results that it would have had if they came one after
 * another. And threads that end when they should not: an error, never a wrong result or an endless wait.
 */

import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Batch, batchOfWindows } from '../src/backend/batch.js';
import type { Evaluation, Placed } from '../src/backend/backend.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { BackendError, ConfigError } from '../src/errors.js';
import { poolSets } from '../src/random/directions.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { transformerOf } from '../src/ternary/builders/transformer.js';
import { fastBackends, keepOpen, reference } from './support/backends.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const network = networkOf([40, 24, 16, 10], { centred: true, gain: 25, logitScale: 900 });
const model = transformerOf(SMALL_SHAPE);
const LENGTH = 12;

/** [70, 40] inputs and their labels, by a number. */
function batchOf(seed: number): Batch {
  const inputs = Uint8Array.from({ length: 70 * 40 }, (_, i) => (i * i * (seed + 3) + i * 7) % 128);
  return { inputs, labels: Uint8Array.from({ length: 70 }, (_, i) => (i + seed) % 10), length: 1 };
}
const weightsOf = (seed: number) =>
  Int8Array.from({ length: network.parameters }, (_, i) => ((i * i + i * seed) % 3) - 1);
const batches = [0, 1, 2, 3].map(batchOf);
const windows = [0, 1, 2, 3].map((seed) => randomText(6, LENGTH + 1, 20 + seed));

const everywhere = ['reference', ...fastBackends.map(([name]) => name)];
const fast = keepOpen();
const backendOf = (name: string) => (name === 'reference' ? reference : fast(name));

describe.each(everywhere)('calls that overlap on %s', (name) => {
  const rounds = name.startsWith('webgpu') ? 2 : 12;

  it('have the results of calls one after another, for a perceptron', async () => {
    const backend = backendOf(name);
    const right = await reference.place(network, { batch: 70, probes: 2 });
    const work = (on: Placed, await_: boolean) => inOrder(await_, callsOf(on));
    const expected = await work(right, true);
    for (let round = 0; round < rounds; round++) {
      const mine = await backend.place(network, { batch: 70, probes: 2 }); // its helpers start anew
      expect(await work(mine, false)).toEqual(expected);
      await mine.release();
    }
  });

  it('have the results of calls one after another, for a transformer', async () => {
    const backend = backendOf(name);
    const work = (on: Placed, await_: boolean) => inOrder(await_, textCallsOf(on));
    const expected = await work(await reference.place(model, { batch: 6 }), true);
    for (let round = 0; round < rounds; round++) {
      const mine = await backend.place(model, { batch: 6 });
      expect(await work(mine, false)).toEqual(expected);
      await mine.release();
    }
  });

  it('see what was loaded when they were called, whatever becomes of the caller’s arrays', async () => {
    const backend = backendOf(name);
    const on = await backend.place(network, { batch: 70 });
    const right = await reference.place(network, { batch: 70 });
    for (const one of [on, right]) await one.writeWeights(weightsOf(1));
    const { inputs, labels } = batchOf(0);
    const calls: Promise<Evaluation>[] = [];
    for (const batch of batches) {
      inputs.set(batch.inputs);
      labels.set(batch.labels);
      on.load({ inputs, labels, length: 1 });
      calls.push(on.evaluate());
    }
    inputs.fill(0);
    for (const [i, batch] of batches.entries()) {
      right.load(batch);
      expect(await calls[i]).toEqual(await right.evaluate());
    }
    await on.release();
  });

  it('fail alone, and are refused after the release, which waits for those before', async () => {
    const backend = backendOf(name);
    const on = await backend.place(network, { batch: 70 });
    on.load(batches[0]);
    const first = on.evaluate();
    const bad = on.writeWeights(new Int8Array(3));
    expect(() => on.load({ ...batches[1], inputs: batches[1].inputs.slice().fill(200, 0, 1) })).toThrow(
      ConfigError,
    );
    const last = on.evaluate();
    const released = on.release();
    await expect(bad).rejects.toThrow('"weights" expected');
    expect(await last).toEqual(await first);
    await expect(on.evaluate()).rejects.toThrow('the model was released: place it again');
    expect(() => on.load(batches[0])).toThrow('the model was released');
    await released;
    await on.release(); // again is no fault
  });
});

/** What a model is asked for, one after another; loading is part of the call that follows it. */
function callsOf(on: Placed): (() => Promise<unknown>)[] {
  const nodes = { key: [3, 4] as const, step: 1, probes: 2, sigma: 51, rewardShift: 2 };
  const sets = poolSets(network.tensors, [1, 2], [60, 40, 20]);
  const coefficients = Int16Array.from({ length: 120 }, (_, k) => (k % 9) - 4);
  const load = (batch: number) => on.load(batches[batch]);
  return [
    () => on.writeWeights(weightsOf(1)),
    ...batches.map((_, batch) => () => {
      load(batch);
      return on.evaluate();
    }),
    () => on.logits(),
    () => on.initLatents([1, 2], 3),
    () => on.readWeights(),
    () => on.applyPool(sets, coefficients),
    () => {
      load(1);
      return on.align(nodes, sets);
    },
    () => on.evaluate(),
    () => on.readWeights(),
    () => on.startLatents(weightsOf(2), 2),
    () => on.logits(),
  ];
}

function textCallsOf(on: Placed): (() => Promise<unknown>)[] {
  const byte = (value: number) => () => on.next(value);
  return [
    () => on.writeWeights(randomValues(model, 5)),
    ...windows.map((text) => () => {
      on.load(batchOfWindows(text, LENGTH));
      return on.evaluate();
    }),
    ...[97, 98, 99].map(byte),
    () => {
      on.restart();
      return on.next(97);
    },
    () => on.writeWeights(randomValues(model, 6)),
    () => on.evaluate(),
    byte(97),
  ];
}

/** Results of calls, each made when the one before is done, or all at once. */
async function inOrder(await_: boolean, calls: readonly (() => Promise<unknown>)[]): Promise<unknown[]> {
  const results: unknown[] = [];
  for (const call of calls) results.push(await_ ? await call() : call());
  return Promise.all(results);
}

describe('a thread that ends', () => {
  /** The threads that were made, as Node tells of them. */
  let threads: Worker[];
  let onThread: (worker: Worker) => void;
  beforeEach(() => {
    threads = [];
    onThread = (worker) => threads.push(worker);
    process.on('worker', (worker: Worker) => onThread(worker));
  });
  afterEach(() => {
    process.removeAllListeners('worker');
  });

  async function placed() {
    const backend = await openWasm({ threads: 3 });
    const on = await backend.place(network, { batch: 70 });
    await on.writeWeights(weightsOf(1));
    on.load(batches[0]);
    return { backend, on };
  }
  const exitOf = (worker: Worker) => new Promise((resolve) => worker.once('exit', resolve));

  it('while calls are under way is a BackendError within seconds, and so are all later calls', async () => {
    const { backend, on } = await placed();
    const right = await on.evaluate();
    expect(threads).toHaveLength(2);
    const gone = threads[1].terminate(); // ends it whatever it does, and the calls below begin before it has
    const calls = Array.from({ length: 2000 }, () => on.evaluate().then((one) => expect(one).toEqual(right)));
    const outcomes = await Promise.allSettled(calls);
    await gone;
    const faults = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []));
    expect(faults.length).toBeGreaterThan(0);
    for (const fault of faults) {
      expect(fault).toBeInstanceOf(BackendError);
      expect(fault.message).toMatch(
        /expected its threads to finish their work, but a thread ended: .*place the model again/,
      );
    }
    await expect(on.readWeights()).rejects.toThrow(BackendError);
    await expect(on.writeWeights(weightsOf(1))).rejects.toThrow(BackendError);
    const other = await backend.place(network, { batch: 70 }); // another model has threads of its own
    await other.writeWeights(weightsOf(1));
    other.load(batches[0]);
    expect(await other.evaluate()).toEqual(right);
    await backend.close();
  });

  it('while none is under way is told by the next', async () => {
    const { backend, on } = await placed();
    await on.evaluate();
    const exits = threads.map(exitOf);
    await threads[0].terminate();
    await expect(on.evaluate()).rejects.toThrow(BackendError);
    await Promise.all(exits); // the other has nothing left to do
    await backend.close();
  });

  it('before it is ready fails the call, stops the others, and the next call starts them again', async () => {
    const { backend, on } = await placed();
    const exits: Promise<unknown>[] = [];
    onThread = (worker) => {
      exits.push(exitOf(worker));
      if (exits.length === 2) void worker.terminate();
    };
    await expect(on.evaluate()).rejects.toThrow(/a worker thread could not be started: exit code \d/);
    await Promise.all(exits);
    expect(exits).toHaveLength(2);
    onThread = (worker) => threads.push(worker);
    const again = await on.evaluate();
    expect(threads).toHaveLength(2);
    const right = await reference.place(network, { batch: 70 });
    await right.writeWeights(weightsOf(1));
    right.load(batches[0]);
    expect(again).toEqual(await right.evaluate());
    await backend.close();
  });

  it('of a transformer is a BackendError as well', async () => {
    const backend = await openWasm({ threads: 2 });
    const on = await backend.place(model, { batch: 6 });
    await on.writeWeights(randomValues(model, 5));
    on.load(batchOfWindows(windows[0], LENGTH));
    await on.evaluate();
    await threads[0].terminate();
    await expect(on.evaluate()).rejects.toThrow(BackendError);
    await expect(on.next(97)).rejects.toThrow(BackendError);
    await backend.close();
  });

  it('because a kernel traps is a fault of the call, and the model is of no more use', async () => {
    const memories: WebAssembly.Memory[] = [];
    const Original = WebAssembly.Memory;
    WebAssembly.Memory = class extends Original {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        super(descriptor);
        memories.push(this);
      }
    };
    const { backend, on } = await placed().finally(() => (WebAssembly.Memory = Original));
    const exits: Promise<unknown>[] = [];
    onThread = (worker) => exits.push(exitOf(worker));
    await on.evaluate();
    // Where the kernels find the last batch's labels is spoilt, as a fault of theirs could.
    const words = new Int32Array(memories[0].buffer);
    words.fill(-1, 16 + 15, 16 + 17);
    await expect(on.evaluate()).rejects.toThrow(/memory access out of bounds|unreachable/);
    await expect(on.evaluate()).rejects.toThrow(
      /but a (kernel failed|thread ended): .*place the model again/,
    );
    await Promise.all(exits); // no thread spins on
    await backend.close();
  });
});
