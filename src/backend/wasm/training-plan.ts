/**
 * What estimators need of the memory beside a pass over a batch: which slots are kept, the instructions that go on
 * from disturbed sums, the sites that are disturbed, and what kernels work with.
 */

import type { AnyOp, Graph, Probe } from '../../ternary/graph.js';
import { Continuations, type Step } from '../../ternary/continuations.js';
import { lastReads, shareRoom } from '../../ternary/liveness.js';
import type { Room } from '../backend.js';
import { chainOf } from '../chain.js';
import { roundUp } from './layout.js';
import { INSTRUCTION_WORDS, type TrainedTensor } from './structures.js';

/** The fields of structures in assembly/control.ts that estimators alone read, in their order. */
export const TRAINING = [
  ...(['sites', 'site', 'layers', 'layer', 'probes', 'sigma', 'rewardShift'] as const),
  ...(['rewardLimit', 'horizon', 'firstRow', 'alignments', 'alignmentCount', 'sums', 'sumsBytes'] as const),
  ...(['directions', 'directionStart', 'entries', 'products', 'columns', 'pairs', 'errorPairs'] as const),
  ...(['errors', 'signs', 'signSums', 'together', 'sizes', 'plus', 'minus'] as const),
  ...(['changes', 'sumsOf', 'outputsA', 'outputsB'] as const),
] as const;
export type TrainingField = (typeof TRAINING)[number];

export const SITE = [
  ...(['instruction', 'trained', 'exact', 'site', 'active', 'size', 'horizon', 'again'] as const),
  ...(['disturbed', 'continuation', 'scales'] as const),
] as const;
type SitePlan = Readonly<Record<(typeof SITE)[number], number>>;

/** Words of an Entry there. */
export const ENTRY_WORDS = 4;

/** Bytes of the lists of sixteen columns, as in the alignment of `linear`. */
const COLUMNS_BYTES = 16 * (16 + (2 * 128 + 16) + (4 * 128 + 16));

/** The most bytes of signs that are drawn together. */
const SIGNS_BYTES = 2 ** 20;

const SIZES: readonly Probe['size'][] = ['magnitude', 'centred magnitude', 'coarse magnitude'];

/** What stands fixed when that of training is laid out, and how more is added. */
export interface Fixed {
  /** The most rows of a tile. */
  readonly rows: number;
  readonly threads: number;
  /** The largest stride of what an operation writes. */
  readonly widest: number;
  stride(slot: number): number;
  /** The offset of a slot in the undisturbed pass. */
  placeOf(slot: number): number;
  /** The address of an operation's instruction in the program. */
  instructionAt(index: number): number;
  /** The words of an instruction. */
  instruction(
    op: AnyOp,
    next: number,
    words: readonly number[],
    placeOf: (slot: number) => number,
    outputs: readonly number[],
  ): number[];
  /** The words of an operation's class, where its inputs are disturbed. */
  wordsOf(op: AnyOp): readonly number[];
  /** The offsets of what operations have kept. */
  readonly keptOf: ReadonlyMap<AnyOp, number>;
  /** Room for a slot in a thread's scratch, and for bytes. */
  takeSlot(slot: number): number;
  own(bytes: number): number;
  /** Room for bytes that all threads share. */
  take(bytes: number): number;
  write(address: number, words: readonly number[]): void;
}

export interface TrainedPlan {
  /** Address of a `Training`. */
  readonly address: number;
  readonly site: number;
  /** By site: the tensor that it aligns. */
  readonly siteTensors: readonly number[];
  /** Alignments that threads sum up by weight, and their bytes for a thread. */
  readonly sums: number;
  readonly sumsBytes: number;
}

export interface Training {
  /** Slots that the undisturbed pass keeps. */
  readonly kept: ReadonlySet<number>;
  /**
   * What there is of a tensor. One that is aligned along directions has room for inputs and errors of a whole batch of
   * so many rows, all others have sums of a thread's own.
   * @param inputs - address of those of the program
   */
  tensor(
    index: number,
    inputs: number,
    rows: number,
    take: (purpose: 'weights' | 'batch', bytes: number) => number,
  ): TrainedTensor;
  lay(fixed: Fixed): TrainedPlan;
}

export type TrainingPlanner = (graph: Graph, room: Room) => Training;

/** @throws {ConfigError} when the model cannot be trained as the room asks for */
export const trainingPlan: TrainingPlanner = (graph, room) => {
  const chain = room.weights ? chainOf(graph) : [];
  const { program, slots } = graph;
  const continuations = new Continuations(graph);
  const probed =
    room.probes !== undefined ? program.flatMap(({ probe }, index) => (probe ? [index] : [])) : [];
  const heads = new Map<number, Step>();
  const kept = new Set<number>(room.weights ? slots.keys() : []);
  const moved = new Set<number>();
  for (const index of probed) {
    const { probe, inputs: read, outputs } = program[index];
    for (const slot of read) kept.add(slot);
    if (probe === 'exact') continue;
    heads.set(index, continuations.after(index));
    for (const slot of outputs) moved.add(slot);
    if (typeof probe?.active === 'number') kept.add(probe.active);
    if (keepsSums(graph)) for (const slot of outputs) kept.add(slot);
  }
  for (const { at, disturbed } of continuations.steps) {
    for (const slot of program[at].outputs) moved.add(slot);
    for (const slot of program[at].inputs) if (!disturbed.has(slot)) kept.add(slot);
  }

  const listed = new Set<number>();
  const sums = new Map<number, number>();
  let sumsBytes = 0;
  for (const tensor of new Set(probed.map((index) => program[index].tensors[0]))) {
    const readers = program.filter(({ tensors: [first] }) => first === tensor);
    const [{ op, inputs }] = readers;
    if (readers.length === 1 && op === 'linear' && slots[inputs[0]].kind === 'u7') listed.add(tensor);
    else {
      const { rows, columns } = graph.tensors[tensor];
      sums.set(tensor, sumsBytes);
      sumsBytes += 4 * rows * roundUp(columns, 16);
    }
  }

  const tensor: Training['tensor'] = (index, inputs, rows, take) => {
    const { rows: units, columns } = graph.tensors[index];
    const [stride, outputStride] = [roundUp(columns, 16), roundUp(units, 16)];
    const isFirst = program.some((op) => op.tensors[0] === index && op.inputs[0] === 0);
    const ofBatch = (bytes: number) => (listed.has(index) ? take('batch', bytes * rows) : 0);
    return {
      transposed: room.weights ? take('weights', columns * outputStride) : 0,
      inputs: isFirst && listed.has(index) ? inputs : ofBatch(stride),
      errors: ofBatch(2 * outputStride),
      live: ofBatch(1),
      sums: sums.get(index) ?? 0,
    };
  };

  const lay: Training['lay'] = (fixed) => {
    const { rows, threads, widest, stride, placeOf, instructionAt, own, take, write } = fixed;
    const put = (words: readonly number[]) => {
      const address = take(words.length * 4);
      write(address, words);
      return address;
    };

    const disturbed = shareRoom(graph, moved, fixed.takeSlot);
    const movedTo = (slot: number) => disturbed.get(slot) as number;
    const again = new Map<number, readonly number[]>();
    for (const { at } of continuations.steps) if (!again.has(at)) again.set(at, fixed.wordsOf(program[at]));
    const steps = new Map(continuations.steps.map((step) => [step, take(INSTRUCTION_WORDS * 4)]));
    for (const [step, address] of steps) {
      const op = program[step.at];
      const next = step.next ? (steps.get(step.next) as number) : 0;
      const from = (slot: number) => (step.disturbed.has(slot) ? movedTo(slot) : placeOf(slot));
      const outputs = op.op === 'loss' ? [movedTo(op.outputs[0])] : op.outputs.map(movedTo);
      const words = again.get(step.at) as readonly number[];
      write(address, fixed.instruction(op, next, words, from, outputs));
    }

    // Those with exact errors first: they read the logits that the undisturbed pass has left.
    const ordered = [...probed].sort((a, b) => Number(heads.has(a)) - Number(heads.has(b)));
    const last = lastReads(graph);
    const sites = ordered.map((index): SitePlan => {
      const { probe, outputs } = program[index];
      const known = { instruction: instructionAt(index), trained: 1, exact: 1 };
      if (typeof probe !== 'object') return { ...NO_PROBE, ...known };
      const head = heads.get(index) as Step;
      const next = program[head.at];
      const fuses =
        next.op === 'normalize' &&
        last[outputs[0]] === head.at &&
        probe.size === (next.attributes.centred ? 'centred magnitude' : 'magnitude');
      return {
        ...{ ...known, exact: 0, site: probe.site, size: SIZES.indexOf(probe.size) },
        active: probe.active === null ? -1 : placeOf(probe.active),
        horizon: probe.horizon && graph.rows === 'positions' ? 1 : 0,
        again: keepsSums(graph) ? 0 : 1,
        disturbed: movedTo(outputs[0]),
        continuation: steps.get(head) as number,
        scales: fuses ? (fixed.keptOf.get(next) as number) : -1,
      };
    });
    const site = put(sites.flatMap((plan) => SITE.map((field) => plan[field])));
    const layers = chain.flatMap(([linear, normalize]) => [
      instructionAt(linear),
      normalize === null ? 0 : instructionAt(normalize),
    ]);

    const dense = probed.filter((index) => !listed.has(program[index].tensors[0]));
    const widestOf = (side: 'inputs' | 'outputs', of: readonly number[]) =>
      Math.max(0, ...of.map((index) => stride(program[index][side][0])));
    const [denseInputs, denseOutputs] = [widestOf('inputs', dense), widestOf('outputs', dense)];
    const outputs = widestOf('outputs', probed);
    const together = togetherOf(room.probes ?? 0, rows * outputs);
    const halves = Math.ceil(rows / 2);
    const probedRows = probed.length > 0 ? rows : 0;
    const [losses] = (program.at(-1) as AnyOp).outputs;
    const results = take(threads * sumsBytes);
    const fields: Partial<Record<TrainingField, number>> = {
      products: own(listed.size > 0 ? 16 * outputs * 4 : 0),
      columns: own(listed.size > 0 ? COLUMNS_BYTES : 0),
      pairs: own(4 * halves * denseInputs),
      errorPairs: own(4 * halves * denseOutputs),
      errors: own(2 * rows * denseOutputs),
      signs: own(together * rows * outputs),
      signSums: own(4 * together * probedRows),
      sizes: own(4 * probedRows),
      plus: own(4 * probedRows),
      minus: moved.has(losses) ? movedTo(losses) : 0,
      changes: own(chain.length > 0 ? widest * 8 : 0),
      sumsOf: own(chain.length > 0 ? widest * 4 : 0),
      outputsA: own(chain.length > 0 ? widest : 0),
      outputsB: own(chain.length > 0 ? widest : 0),
      ...{ together, sites: sites.length, site, layers: chain.length, layer: put(layers) },
      ...{ sums: results, sumsBytes },
    };
    return {
      address: put(TRAINING.map((field) => fields[field] ?? 0)),
      ...{ site, siteTensors: ordered.map((index) => program[index].tensors[0]), sums: results, sumsBytes },
    };
  };
  return { kept, tensor, lay };
};

const NO_PROBE = {
  ...{ site: 0, active: -1, size: 0, horizon: 0, again: 0, disturbed: 0, continuation: 0, scales: -1 },
};

/** Whether sums of probed operations are kept: those of 32 examples, not those of whole windows. */
function keepsSums({ rows }: Graph): boolean {
  return rows === 'examples';
}

/** Probes whose signs are drawn together: a power of two up to 16, all if there is room. */
function togetherOf(probes: number, bytes: number): number {
  let together = 1;
  while (together < Math.min(16, probes) && 2 * together * bytes <= SIGNS_BYTES) together *= 2;
  return together;
}
