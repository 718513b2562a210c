/**
 * The kernels of the wasm backend write nowhere but into the arrays that are theirs. The memory is laid out with room
 * after every array, filled with a pattern; every job must leave the patterns whole, and its results right.
 */

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { batchOfWindows } from '../src/backend/batch.js';
import type { Backend, Room as BatchRoom } from '../src/backend/backend.js';
import { planMemory } from '../src/backend/wasm/plan.js';
import { trainingPlan } from '../src/backend/wasm/training-plan.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { encodersOf } from '../src/ops/instructions.js';
import { type DirectionSet, directionSet } from '../src/random/directions.js';
import type { Graph } from '../src/ternary/graph.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { type LayerPrecision, PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { type TransformerShape, transformerOf } from '../src/ternary/builders/transformer.js';
import { reference } from './support/backends.js';
import { randomText, randomValues } from './support/transformers.js';

type Room = readonly [from: number, to: number];

const { ROOM_BYTES, PATTERN, PAGE_BYTES, made } = vi.hoisted(() => ({
  ROOM_BYTES: 192,
  PATTERN: 0xa5,
  PAGE_BYTES: 65_536,
  made: {
    /** The layouts, in the order in which they were made, each with the room after its arrays. */
    layouts: [] as { readonly start: number; readonly rooms: Room[] }[],
    /** The memory of the last kernels. */
    memory: null as WebAssembly.Memory | null,
  },
}));

// The layout is the real one but for the room: what plans and hands out memory does not know of it.
vi.mock('../src/backend/wasm/layout.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../src/backend/wasm/layout.js')>();
  class RoomyLayout extends original.Layout {
    readonly rooms: Room[] = [];

    constructor(readonly start = 0) {
      super(start);
      made.layouts.push(this);
    }

    override take(bytes: number): number {
      const address = super.take(bytes + ROOM_BYTES);
      const room = [address + bytes, this.end] as const;
      this.rooms.push(room);
      if (isOfArguments(this)) fill([room]);
      return address;
    }
  }
  return { ...original, Layout: RoomyLayout };
});

const OriginalMemory = WebAssembly.Memory;
beforeAll(() => {
  WebAssembly.Memory = class extends OriginalMemory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      made.memory = this;
    }
  };
});
afterAll(() => {
  WebAssembly.Memory = OriginalMemory;
});

/** Arguments of jobs come after all else; a plan begins with its first cache line. */
function isOfArguments({ start }: { start: number }): boolean {
  return start > 64;
}

function bytes(): Uint8Array {
  return new Uint8Array((made.memory as WebAssembly.Memory).buffer);
}

function fill(rooms: readonly Room[]): void {
  const missing = Math.max(...rooms.map(([, to]) => to)) - bytes().length;
  if (missing > 0) made.memory?.grow(Math.ceil(missing / PAGE_BYTES));
  for (const [from, to] of rooms) bytes().fill(PATTERN, from, to);
}

/** The room after all arrays that a model is going to have. */
async function roomsOf(graph: Graph, room: BatchRoom, threads: number): Promise<Room[]> {
  const encoders = await encodersOf(graph);
  const before = made.layouts.length;
  const plan = planMemory(graph, room, threads, encoders, room.probes === undefined ? null : trainingPlan);
  const [scratch, main] = made.layouts.slice(before).map(({ rooms }) => rooms);
  const ofThread = (thread: number) => plan.scratch + thread * plan.scratchStride;
  const scratches = Array.from({ length: threads }, (_, thread) =>
    scratch.map(([from, to]) => [from + ofThread(thread), to + ofThread(thread)] as const),
  );
  return [...main, ...scratches.flat()];
}

/** Runs work on a device of one's own, and sees after each part that all rooms are as they were. */
async function watched<Result>(rooms: readonly Room[], work: () => Promise<Result>): Promise<Result> {
  const result = await work();
  const last = made.layouts.at(-1);
  const all = [...rooms, ...(last && isOfArguments(last) ? last.rooms : [])];
  const spoilt = all.flatMap(([from, to]) => {
    const at = bytes()
      .subarray(from, to)
      .findIndex((byte) => byte !== PATTERN);
    return at < 0 ? [] : [`${at} bytes past the array that ends at ${from}`];
  });
  expect(spoilt).toEqual([]);
  return result;
}

const seeds = fc.integer({ min: 1, max: 2 ** 31 });

/** Numbers of a seed. */
function draws(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function weightsOf({ tensors, parameters }: Graph, draw: (below: number) => number): Int8Array {
  const weights = new Int8Array(parameters);
  for (const { values, rows, columns, offset } of tensors) {
    const [least, largest] = VALUE_RANGES[values];
    for (let i = offset; i < offset + rows * columns; i++) weights[i] = least + draw(largest - least + 1);
  }
  return weights;
}

function setsOf({ tensors }: Graph, step: number): DirectionSet[] {
  return tensors.map(({ rows, columns, offset }, group) => {
    const size = rows * columns;
    const directions = Math.ceil(size / 3);
    return directionSet({ key: [5, 6], step, group, offset, size, directions, touched: size });
  });
}

describe.each([1, 2])('on %i threads', (threads) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openWasm({ threads });
  });
  afterAll(() => backend.close());

  const shapes = fc.record({
    widths: fc.array(fc.integer({ min: 2, max: 70 }), { minLength: 2, maxLength: 4 }),
    batch: fc.integer({ min: 1, max: 70 }),
    probes: fc.integer({ min: 1, max: 9 }),
    precision: fc.constantFrom<LayerPrecision>('ternary', ...(Object.keys(PRECISIONS) as LayerPrecision[])),
    centred: fc.boolean(),
    seed: seeds,
  });

  it('a perceptron’s kernels keep to their arrays', () =>
    fc.assert(
      fc.asyncProperty(shapes, async ({ widths, batch, probes, precision, centred, seed }) => {
        const draw = draws(seed);
        const layers = widths.length - 1;
        const options = { centred, gain: 25, logitScale: 200, precision: Array(layers).fill(precision) };
        const network = networkOf(widths, options as Parameters<typeof networkOf>[1]);
        const trains = precision === 'ternary';
        const room = trains ? { batch, probes, weights: true } : { batch };
        const rooms = await roomsOf(network, room, threads);
        const mine = await backend.place(network, room);
        const right = await reference.place(network, room);
        fill(rooms);
        const inputs = Uint8Array.from({ length: batch * widths[0] }, () => draw(128));
        const labels = Uint8Array.from({ length: batch }, () => draw(widths.at(-1) as number));
        const weights = weightsOf(network, draw);
        /** Of both, one after the other, the same. */
        const both = async <Result>(work: (on: typeof mine) => Promise<Result>) => {
          const result = await watched(rooms, () => work(mine));
          expect(result).toEqual(await work(right));
        };
        for (const on of [mine, right]) on.load({ inputs, labels, length: 1 });
        await both((on) => on.writeWeights(weights));
        await both((on) => on.evaluate());
        await both((on) => on.logits());
        await both((on) => on.readWeights());
        if (trains) {
          const [first, second] = [setsOf(network, 0), setsOf(network, 1)];
          const total = first.reduce((sum, { directions }) => sum + directions, 0);
          await both((on) => on.initLatents([1, 2], 3));
          const coefficients = Int16Array.from({ length: total }, () => draw(9) - 4);
          await both((on) => on.applyPool(first, coefficients));
          await both((on) => on.readWeights());
          await both((on) => on.initLatents([1, 2], 3));
          const trits = Int8Array.from({ length: second[0].directions }, () => draw(3) - 1);
          await both((on) => on.applyStep(second[0], trits));
          await both((on) => on.readWeights());
          const nodes = { key: [3, 4] as const, step: 1, probes, sigma: 51, rewardShift: 2 };
          await both((on) => on.align(nodes, first));
          await both((on) => on.alignWeights(first[0], 0, Math.min(3, first[0].directions)));
          await both((on) => on.startLatents(weights, 2));
          await both((on) => on.readWeights());
        }
        await mine.release();
      }),
      { numRuns: 25, seed: 11 },
    ));

  const texts = fc
    .record({
      blocks: fc.integer({ min: 1, max: 2 }),
      keyHeads: fc.integer({ min: 1, max: 2 }),
      share: fc.integer({ min: 1, max: 3 }),
      pairs: fc.integer({ min: 1, max: 9 }),
      hidden: fc.integer({ min: 8, max: 70 }),
      context: fc.integer({ min: 2, max: 17 }),
      loops: fc.integer({ min: 1, max: 2 }),
      tied: fc.boolean(),
      embedding: fc.constantFrom('int8' as const, 'ternary' as const),
    })
    .map(({ blocks, keyHeads, share, pairs, ...rest }): TransformerShape => {
      const heads = keyHeads * share;
      const width = 2 * heads * Math.max(pairs, Math.ceil(4 / heads));
      return { ...rest, blocks, heads, keyHeads, width, loopFrom: blocks - 1, loopTo: blocks };
    });

  it('a transformer’s kernels keep to their arrays', () =>
    fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 4 }), seeds, async (shape, windows, seed) => {
        const model = transformerOf(shape);
        const room = { batch: windows, ...(!shape.tied && { probes: 3 }) };
        const rooms = await roomsOf(model, room, threads);
        const mine = await backend.place(model, room);
        const right = await reference.place(model, room);
        fill(rooms);
        const length = 1 + (seed % shape.context);
        const text = randomText(windows, length + 1, seed % 1000);
        const values = randomValues(model, 1 + (seed % 1000));
        const both = async <Result>(work: (on: typeof mine) => Promise<Result>) => {
          const result = await watched(rooms, () => work(mine));
          expect(result).toEqual(await work(right));
        };
        await both((on) => on.writeWeights(values));
        for (const on of [mine, right]) on.load(batchOfWindows(text, length));
        await both((on) => on.evaluate());
        await both((on) => on.logits());
        for (let i = 0; i < shape.context; i++) await both((on) => on.next(text[i % text.length]));
        if (!shape.tied) {
          const probes = { key: [3, 4] as const, step: 5, probes: 1 + (seed % 3), sigma: 51 };
          await both((on) => on.align({ ...probes, rewardShift: 2, horizon: seed % 5 }));
          const sets = setsOf(model, 1);
          const draw = draws(seed);
          const total = sets.reduce((sum, { directions }) => sum + directions, 0);
          await both((on) => on.initLatents([1, 2], 3));
          const trits = Int8Array.from({ length: sets[0].directions }, () => draw(3) - 1);
          await both((on) => on.applyStep(sets[0], trits));
          await both((on) => on.readWeights());
          const coefficients = Int16Array.from({ length: total }, () => draw(9) - 4);
          await both((on) => on.applyPool(sets, coefficients));
          await both((on) => on.readWeights());
          await both((on) => on.evaluate());
          await both((on) => on.startLatents(values, 2));
          await both((on) => on.readWeights());
        }
        await mine.release();
      }),
      { numRuns: 15, seed: 12 },
    ));
});
