/**
 * Where everything lies in the memory that the kernels share, and what stands there from the first: tensors, the
 * instructions of a program, those that go on from a disturbed site, tables. Beside values and latents a model takes
 * one batch of inputs and results, one batch of activations and errors of what is aligned along directions, and a
 * scratch a thread for one tile of rows: 32 examples, or the positions of a window.
 */

import type { Encoder, Encoders, Encoding } from '../../ops/instruction.js';
import { type AnyOp, classesOf, type Graph, type OpName } from '../../ternary/graph.js';
import { shareRoom } from '../../ternary/liveness.js';
import { VALUE_RANGES } from '../../ternary/precision.js';
import type { MemoryUse, Room } from '../backend.js';
import { Layout, roundUp } from './layout.js';
import { CONTROL, type ControlField, INSTRUCTION_WORDS, TENSOR, type TensorPlan } from './structures.js';
import type { TrainedPlan, TrainingPlanner } from './training-plan.js';

/** Examples of a tile, as in assembly/control.ts. */
export const TILE = 32;

/** Tables of a segment, their inputs and their bytes, as in the tables of `linear`. */
const SEGMENT_GROUPS = 16;
const SEGMENT_COLUMNS = 3 * SEGMENT_GROUPS;
const SEGMENT_TABLES = SEGMENT_GROUPS * 27 * TILE * 2;

const BYTES = { byte: 1, u7: 1, i8: 1, i32: 4 } as const;

export interface MemoryPlan {
  readonly control: number;
  readonly tensors: readonly TensorPlan[];
  readonly inputs: number;
  /** Bytes from one row of inputs to the next. */
  readonly inputStride: number;
  readonly labels: number;
  readonly losses: number;
  readonly predictions: number;
  /** The logits of the row that came last in a window that grows. */
  readonly nextLogits: number;
  readonly scratch: number;
  readonly scratchStride: number;
  /** Where there is room to train. */
  readonly trained: TrainedPlan | null;
  /** What the memory holds from the first: values by their address. */
  readonly contents: readonly (readonly [
    address: number,
    values: readonly number[] | Int16Array | Int32Array,
  ])[];
  /** First free byte: the arguments of jobs follow, and grow the memory where they must. */
  readonly end: number;
  /** Bytes of what belongs to values, latents and one batch; the rest is work. */
  readonly use: Pick<MemoryUse, 'weights' | 'latents' | 'batch'>;
}

/** Elements from one row of a slot to the next. */
function strideOf({ slots }: Graph, slot: number): number {
  const { kind, width } = slots[slot];
  return kind === 'byte' ? width : roundUp(width, 16);
}

/**
 * Lays out the memory of a model with its room on so many threads.
 * @param planner - of what training needs, where there is room to train
 */
export function planMemory(
  graph: Graph,
  room: Room,
  threads: number,
  encoders: Encoders,
  planner: TrainingPlanner | null,
): MemoryPlan {
  const { program, slots, context } = graph;
  const training = planner?.(graph, room);
  const hasU7 = slots.some(({ kind }) => kind === 'u7');
  const rows = graph.rows === 'examples' ? TILE : roundUp(context, hasU7 ? TILE : 1);
  const rowsMax = roundUp(room.batch * context, graph.rows === 'examples' || hasU7 ? TILE : 1);
  const stride = (slot: number) => strideOf(graph, slot);
  const contents: [number, readonly number[] | Int16Array | Int32Array][] = [];

  const scratch = new Layout();
  const layout = new Layout(64); // an address of 0 is none
  const use = { weights: 0, latents: 0, batch: 0 };
  /** Takes bytes and counts them as what they are used for. */
  const takeFor = (purpose: keyof typeof use, bytes: number): number => {
    const address = layout.take(bytes);
    use[purpose] += layout.end - address; // with the fill up to the next line
    return address;
  };

  const control = layout.take(CONTROL.length * 4);
  const inputStride = stride(0) * BYTES[slots[0].kind];
  const inputs = takeFor('batch', rowsMax * inputStride);

  // Tensors.
  const readers = graph.tensors.map((_, tensor) =>
    program.filter(({ tensors: [first] }) => first === tensor),
  );
  const linears = readers.map((ops) => ops.filter(({ op }) => op === 'linear'));
  const signed = graph.tensors.map(({ values }, tensor) => {
    return values !== 'scale' && linears[tensor].some(({ inputs: [x] }) => slots[x].kind !== 'u7');
  });
  const hasLatents = typeof graph.initial !== 'string';
  const tensors = graph.tensors.map(({ rows: units, columns, values }, index): TensorPlan => {
    const isScale = values === 'scale';
    const trit = values === 'trit';
    const ownStride = isScale ? columns : roundUp(columns, 16);
    const outputStride = roundUp(units, 16);
    const [least, most] = VALUE_RANGES[values];
    return {
      ...{ rows: units, columns, stride: ownStride, outputStride, least, most, trit: trit ? 1 : 0 },
      values: takeFor('weights', roundUp(units, 4) * ownStride),
      off: signed[index] && trit ? 1 : 0,
      codes:
        trit && !signed[index] && linears[index].length > 0
          ? takeFor('weights', Math.ceil(columns / SEGMENT_COLUMNS) * units * SEGMENT_GROUPS * 2)
          : 0,
      latents: hasLatents ? takeFor('latents', units * columns) : 0,
      drawn: hasLatents && graph.initial[index] === 'drawn' ? 1 : 0,
      ...training?.tensor(index, inputs, rowsMax, takeFor),
    };
  });
  const tensor = layout.take(tensors.length * TENSOR.length * 4);
  contents.push([tensor, tensors.flatMap((plan) => TENSOR.map((field) => plan[field] ?? 0))]);
  const tensorAddress = (index: number | undefined) =>
    index === undefined ? 0 : tensor + index * TENSOR.length * 4;

  // Slots: what is kept of an undisturbed pass has room of its own, all others share.
  const kept = training?.kept ?? new Set<number>();
  const takeSlot = (slot: number) => scratch.take(rows * stride(slot) * BYTES[slots[slot].kind]);
  const all = [...slots.keys()].slice(1);
  const shared = shareRoom(graph, new Set(all.filter((slot) => !kept.has(slot))), takeSlot);
  const undisturbed = new Map([[0, -1], ...shared]);
  for (const slot of all) if (kept.has(slot)) undisturbed.set(slot, takeSlot(slot));

  // Instructions, at first without their places.
  const tables = new Map<string, number>();
  const works = new Map<string, number>();
  const keptOf = new Map<AnyOp, number>();
  const memoized = (map: Map<string, number>, key: string, make: () => number) => {
    const place = map.get(key) ?? make();
    map.set(key, place);
    return place;
  };
  const work = (name: string, bytes: number) =>
    memoized(works, `${name} ${bytes}`, () => scratch.take(bytes));
  const encoderOf = ({ op }: AnyOp) => encoders[op] as readonly [number, Encoder<OpName>];
  const wordsOf = (op: AnyOp, isDisturbed: boolean): readonly number[] => {
    const at: Encoding = {
      ...{ graph, rows, stride, work },
      signed: (index) => signed[index],
      values: (index) => tensors[index].values,
      table: (name, make) =>
        memoized(tables, name, () => {
          const values = make();
          const address = layout.take(values.byteLength);
          contents.push([address, values]);
          return address;
        }),
      state: (bytes) => (isDisturbed ? 0 : takeFor('batch', bytes)),
      kept(bytes) {
        if (isDisturbed) return work('kept', bytes);
        const offset = scratch.take(bytes);
        keptOf.set(op, offset);
        return offset;
      },
    };
    return encoderOf(op)[1](op, at);
  };
  const own = program.map((op) => wordsOf(op, false));
  const first = layout.take(program.length * INSTRUCTION_WORDS * 4);
  const instructionAt = (index: number) => first + index * INSTRUCTION_WORDS * 4;
  const instruction = (
    op: AnyOp,
    next: number,
    words: readonly number[],
    placeOf: (slot: number) => number,
    outputs: readonly number[],
  ) => {
    const [x, out] = [op.inputs[0], op.outputs[0]];
    const reads = [0, 1, 2].map((i) => (op.inputs[i] === undefined ? 0 : placeOf(op.inputs[i])));
    const shape = [slots[x].width, stride(x), slots[out].width, stride(out)];
    const read = [tensorAddress(op.tensors[0]), tensorAddress(op.tensors[1])];
    return [next, encoderOf(op)[0], ...reads, outputs[0], outputs[1] ?? -1, ...shape, ...read, ...words];
  };
  const placeOf = (slot: number) => undisturbed.get(slot) as number;
  for (const [index, op] of program.entries()) {
    const next = index + 1 < program.length ? instructionAt(index + 1) : 0;
    contents.push([
      instructionAt(index),
      instruction(op, next, own[index], placeOf, op.outputs.map(placeOf)),
    ]);
  }
  const codes = tensors.some((plan) => plan.codes !== 0);
  const widest = Math.max(...program.map(({ outputs: [out] }) => stride(out)));
  const only = (condition: boolean, bytes: number) => scratch.take(condition ? bytes : 0);
  const offsets = {
    words: scratch.take(32),
    block: only(codes, 512),
    segment: only(codes, SEGMENT_COLUMNS * TILE),
    tables: only(codes, SEGMENT_TABLES),
    tableSums: only(codes, widest * TILE * 2),
  };
  const trained = training?.lay({
    ...{ rows, threads, widest, stride, placeOf, instructionAt, instruction, keptOf, takeSlot },
    wordsOf: (op) => wordsOf(op, true),
    own: (bytes) => scratch.take(bytes),
    take: (bytes) => layout.take(bytes),
    write: (address, values) => contents.push([address, values]),
  });

  const labels = takeFor('batch', rowsMax);
  const losses = takeFor('batch', rowsMax * 4);
  const predictions = takeFor('batch', rowsMax);
  const next = takeFor('batch', inputStride);
  const nextLogits = takeFor('batch', 4 * roundUp(classesOf(graph), 4));
  const scratchAt = layout.take(threads * scratch.end);
  const fixed: Partial<Record<ControlField, number>> = {
    ...{
      ...offsets,
      inputs,
      inputStride,
      labels,
      losses,
      predictions,
      next,
      training: trained?.address ?? 0,
    },
    ...{ program: first, loss: instructionAt(program.length - 1), tileRows: rows },
    ...{ tensors: tensors.length, tensor },
    ...{ scratch: scratchAt, scratchStride: scratch.end },
  };
  contents.push([control, CONTROL.map((field) => fixed[field] ?? 0)]);
  return {
    ...{ control, tensors, inputs, inputStride, labels, losses, predictions, nextLogits, contents, use },
    ...{ scratch: scratchAt, scratchStride: scratch.end, trained: trained ?? null, end: layout.end },
  };
}
