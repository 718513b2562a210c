/** A model on a device: what is asked of it is checked here, batches are written and results read. */

import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import { classesOf, type Graph, type Op } from '../../ternary/graph.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import type { DeviceBuffer, Region, WebgpuDevice } from './device.js';
import { type Disturbing, Forward } from './forward.js';
import type { NodeAligner } from './nodes.js';
import { isPacked, packedWords, planRows, roundUp, type RowPlan } from './plan.js';
import type { Recipes, Rows } from './recipe.js';
import type { Trials } from './trials.js';
import { type Unit, unitsOf } from './units.js';
import { WeightStore } from './weight-store.js';
import { Workspace } from './workspace.js';

/** Modules that are loaded with the first model that has room for their estimator. */
interface Estimators {
  readonly nodes: typeof import('./nodes.js') | null;
  readonly trials: typeof import('./trials.js') | null;
}

export class WebgpuPlaced implements Placed {
  readonly batchMax: number;
  readonly plan: RowPlan;
  readonly space: Workspace;
  readonly store: WeightStore;
  readonly forward: Forward;
  readonly nodes: NodeAligner | null = null;
  readonly trials: Trials | null = null;
  readonly #guard: Guard;
  /** Of the loaded batch. */
  #rows = 0;
  #length = 1;
  #position = 0;

  /** @throws {ConfigError} when the room is out of range, or the device has none for it */
  constructor(
    readonly device: WebgpuDevice,
    readonly graph: Graph,
    room: Room,
    recipes: Recipes,
    { nodes, trials }: Estimators,
    readonly onRelease: () => void,
  ) {
    device.check();
    this.#guard = new Guard(graph, room);
    this.batchMax = room.batch;
    const units = unitsOf(graph, recipes, nodes !== null);
    this.plan = planRows(graph, room, device.workBytes);
    this.space = new Workspace(device);
    try {
      this.store = new WeightStore(graph, this.space);
      const sites = nodes?.sitesOf(graph, units);
      const disturbing: readonly Disturbing[] = [
        ...(sites ? [sites] : []),
        ...(trials ? [trials.trialsOf(units)] : []),
      ];
      this.forward = new Forward(
        ...([graph, units, recipes, this.store, this.space, this.plan] as const),
        room.batch * graph.context,
        {
          reads: disturbing.flatMap(({ reads }) => reads),
          moved: new Set(disturbing.flatMap(({ moved }) => [...moved])),
        },
      );
      if (nodes && sites) this.nodes = new nodes.NodeAligner(this.forward, sites, this.space, this.plan);
      if (trials) this.trials = new trials.Trials(this.forward, this.space, this.plan);
    } catch (error) {
      this.space.release();
      throw error;
    }
  }

  get memory(): MemoryUse {
    return this.space.memory;
  }

  load(batch: Batch): void {
    this.#guard.checkShape(batch);
    const { inputs, labels, length } = batch;
    const { kind, width } = this.graph.slots[0];
    if (isPacked(kind)) {
      const words = new Uint32Array(labels.length * packedWords(width));
      const bytes = new Uint8Array(words.buffer);
      const stride = bytes.length / labels.length;
      if (stride === width) bytes.set(inputs);
      else {
        for (let row = 0; row < labels.length; row++) {
          bytes.set(inputs.subarray(row * width, (row + 1) * width), row * stride);
        }
      }
      const union = words.reduce((bits, word) => bits | word, 0);
      this.#guard.checkRange(((union >>> 24) | (union >>> 16) | (union >>> 8) | union) & 255);
      this.forward.write(words, 'batch');
    } else this.forward.write(Uint32Array.from(inputs), 'batch');
    const marks = new Uint8Array(roundUp(labels.length, 4));
    marks.set(labels);
    this.device.write(this.forward.labels, marks);
    this.#rows = labels.length;
    this.#length = length;
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.#rows);
    this.restart();
    for (const part of this.#parts()) this.forward.recordAll(part);
    return (await this.#results([])).evaluation;
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.#rows);
    this.restart();
    const classes = classesOf(this.graph);
    const logits = new Int32Array(this.#rows * classes);
    for (const part of this.#parts()) {
      this.forward.recordAll(part, this.#loss);
      logits.set(await this.#logitsOf(part), part.first * classes);
    }
    return logits;
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#guard.checkWeights(values);
    this.device.check();
    this.store.write(values);
  }

  async readWeights(): Promise<Int8Array> {
    return this.store.read();
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.device.check();
    this.store.init(key, cut);
  }

  async startLatents(values: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#guard.checkWeights(values);
    this.device.check();
    this.store.start(values, cut);
  }

  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.device.check();
    this.store.step(set, coefficients);
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    this.device.check();
    this.store.pool(sets, coefficients);
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.#rows);
    this.restart();
    const sums = (this.trials as Trials).record(this.#parts(), set, first, count);
    const {
      evaluation,
      extra: [bytes],
    } = await this.#results([{ from: sums, bytes: 8 * count }]);
    const words = new Int32Array(bytes);
    // The low word holds up to 2^16 sixteen-bit numbers, and is not negative.
    const alignments = Float64Array.from({ length: count }, (_, k) => {
      return words[2 * k + 1] * 65_536 + (words[2 * k] >>> 0);
    });
    return { alignments, evaluation };
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.#rows, probes);
    this.restart();
    const from: DeviceBuffer = (this.nodes as NodeAligner).record(this.#parts(), probes, limit, sets);
    const count = sets?.reduce((sum, { directions }) => sum + directions, 0) ?? this.graph.parameters;
    const {
      evaluation,
      extra: [bytes],
    } = await this.#results([{ from, bytes: 4 * count }]);
    return { alignments: new Int32Array(bytes), evaluation };
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    const row: Rows = { rows: 1, examples: 1, first: 0, length: 1, start: this.#position, kind: 'next' };
    this.forward.write(Uint32Array.of(byte), 'next');
    this.forward.recordAll(row, this.#loss);
    this.#position += 1;
    const { logitScale } = (this.graph.program.at(-1) as Op<'loss'>).attributes;
    return (await this.#logitsOf(row)).map((logit) => logit * logitScale);
  }

  async release(): Promise<void> {
    this.space.release();
    this.onRelease();
  }

  /** Index of the unit that makes losses of logits. */
  get #loss(): number {
    return this.forward.units.length - 1;
  }

  /** The rows that are loaded, in parts that go at a time: whole windows. */
  #parts(): Rows[] {
    const length = this.#length;
    const atOnce = Math.max(1, Math.floor(this.plan.rows / length)) * length;
    const parts: Rows[] = [];
    for (let first = 0; first < this.#rows; first += atOnce) {
      const rows = Math.min(atOnce, this.#rows - first);
      parts.push({ rows, examples: rows, first, length, start: 0, kind: 'batch' });
    }
    return parts;
  }

  /** Logits of rows, when all that was recorded is done. */
  async #logitsOf(part: Rows): Promise<Int32Array> {
    const [slot] = (this.forward.units[this.#loss] as Unit).inputs;
    const from = this.forward.source(slot, part).buffer;
    this.space.recorder.submit();
    const [bytes] = await this.device.fetch([{ from, bytes: 4 * part.rows * classesOf(this.graph) }]);
    return new Int32Array(bytes);
  }

  /** The evaluation of the batch, and what else is wanted, when all that was recorded is done. */
  async #results(wanted: readonly Region[]): Promise<{ evaluation: Evaluation; extra: ArrayBuffer[] }> {
    this.space.recorder.submit();
    const own = this.forward.results.map((from) => ({ from, bytes: 4 * this.#rows }));
    const [losses, predictions, ...extra] = await this.device.fetch([...own, ...wanted]);
    const evaluation = {
      losses: new Int32Array(losses),
      predictions: Uint8Array.from(new Uint32Array(predictions)),
    };
    return { evaluation, extra };
  }
}
