/**
 * A transformer in the memory that the kernels share: its weights with rows padded to 16 bytes, tables, the windows
 * of one batch with their results, keys and values of the text that grows, and for each thread room for one window.
 */

import { SOFTMAX, softmaxScale } from '../../ops/attention/op.js';
import { EXP2, LOG2 } from '../../ops/loss/op.js';
import { rmsGain, rmsValueBits } from '../../ops/rms-norm/op.js';
import { rotaryTables } from '../../ops/rotary/op.js';
import { SILU } from '../../ops/gate/op.js';
import type { Op } from '../../ternary/graph.js';
import { type Transformer, VOCABULARY } from '../../ternary/transformer.js';
import { ConfigError } from '../../errors.js';
import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import { alignmentsOfDirections, Latents } from '../host-latents.js';
import type { Platform } from '../platform/platform.js';
import { HelperThreads } from './helpers.js';
import type { Kernels, TransformerExports } from './kernels.js';
import { CONTROL, type ControlField } from './memory-plan.js';
import { MATRIX_WORDS, planText, TEXT, type TextPlan } from './text-plan.js';

/** Jobs of assembly/jobs.ts. */
const JOB_TEXT = 10;
const JOB_TEXT_NODES = 11;
const PAGE_BYTES = 65_536;
const PAGES_MAX = 65_536;

export class WasmText implements Placed {
  readonly #guard: Guard;
  /** What directions move; made when it is asked for. */
  #latents: Latents | null = null;
  readonly #plan: TextPlan;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: TransformerExports;
  readonly #helpers: HelperThreads;
  #windows = 0;
  #length = 0;
  #position = 0;

  /** @throws {ConfigError} when it needs more memory than wasm has */
  constructor(
    readonly host: Platform,
    readonly compiled: Kernels,
    readonly model: Transformer,
    room: Room,
    readonly threads: number,
    readonly onRelease: () => void,
  ) {
    this.#guard = new Guard(model, room);
    this.#plan = planText(model, room, threads);
    const pages = Math.ceil(this.#plan.end / PAGE_BYTES) + 1;
    if (pages > PAGES_MAX) {
      const gibibytes = (this.#plan.end / 2 ** 30).toFixed(1);
      throw new ConfigError(
        `the model with ${room.batch} windows on ${threads} threads needs ${gibibytes} GiB of memory, more than the ` +
          '4 GiB of wasm: use fewer windows or threads',
      );
    }
    const logits = room.batch * model.context * 4 * VOCABULARY;
    const maximum = Math.min(PAGES_MAX, pages + Math.ceil(logits / PAGE_BYTES));
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum, shared: true });
    const instance = new WebAssembly.Instance(compiled.module, { env: { memory: this.#memory, abort() {} } });
    this.#kernels = instance.exports as unknown as TransformerExports;
    this.#describe();
    this.#kernels.attach(this.#plan.control, 0);
    this.#helpers = new HelperThreads(
      ...[host, compiled.module, this.#kernels, this.#memory, this.#plan.control, threads - 1],
    );
  }

  get graph(): Transformer {
    return this.model;
  }

  get batchMax(): number {
    return this.#guard.batchMax;
  }

  get memory(): MemoryUse {
    const { weights, inputs, caches, end } = this.#plan;
    const batch = caches - inputs;
    return {
      weights,
      latents: this.#latents ? 2 * this.model.parameters : 0,
      batch,
      work: end - weights - batch,
    };
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#helpers.check();
    this.#guard.checkWeights(values);
    this.#latents?.values.set(values);
    this.#write(values);
  }

  #write(values: Int8Array): void {
    const words = new Int32Array(this.#memory.buffer);
    const bytes = new Int8Array(this.#memory.buffer);
    this.#plan.matrices.forEach(({ matrix, address, stride, wide }, index) => {
      const { offset, rows, columns } = matrix.weights;
      const more = wide ? 0 : 1; // trits are 0, 1, 2 there
      for (let row = 0; row < rows; row++) {
        const from = offset + row * columns;
        const to = address + row * stride;
        for (let column = 0; column < columns; column++) bytes[to + column] = values[from + column] + more;
      }
      const at = this.model.scales.offset + 2 * matrix.scale;
      words.set([values[at], values[at + 1]], this.#plan.matrixWords / 4 + index * MATRIX_WORDS + 4);
    });
  }

  async readWeights(): Promise<Int8Array> {
    this.#helpers.check();
    const values = new Int8Array(this.model.parameters);
    const words = new Int32Array(this.#memory.buffer);
    const bytes = new Int8Array(this.#memory.buffer);
    this.#plan.matrices.forEach(({ matrix, address, stride, wide }, index) => {
      const { offset, rows, columns } = matrix.weights;
      const more = wide ? 0 : 1;
      for (let row = 0; row < rows; row++) {
        const from = address + row * stride;
        const to = offset + row * columns;
        for (let column = 0; column < columns; column++) values[to + column] = bytes[from + column] - more;
      }
      const at = this.#plan.matrixWords / 4 + index * MATRIX_WORDS + 4;
      values.set(words.subarray(at, at + 2), this.model.scales.offset + 2 * matrix.scale);
    });
    return values;
  }

  initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    return this.#move((latents) => latents.init(key, cut));
  }

  startLatents(values: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#guard.checkWeights(values);
    return this.#move((latents) => latents.start(values, cut));
  }

  applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    return this.#move((latents) => latents.applyStep(set, coefficients));
  }

  applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    return this.#move((latents) => latents.applyPool(sets, coefficients));
  }

  async #move(change: (latents: Latents) => void): Promise<void> {
    this.#helpers.check();
    this.#latents ??= new Latents(this.model);
    change(this.#latents);
    this.#write(this.#latents.values);
  }

  load(batch: Batch): void {
    this.#guard.checkShape(batch);
    const { inputs, labels, length } = batch;
    new Uint8Array(this.#memory.buffer).set(inputs, this.#plan.inputs);
    new Uint8Array(this.#memory.buffer).set(labels, this.#plan.labels);
    this.#length = length;
    this.#windows = labels.length / length;
    this.#setText('length', length);
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.#windows);
    this.#setText('keepLogits', 0);
    await this.#run(JOB_TEXT);
    return this.#evaluation();
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.#windows);
    const rows = this.#windows * this.#length;
    const address = this.#plan.end;
    const missing = address + 4 * VOCABULARY * rows - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    this.#setText('keepLogits', address);
    await this.#run(JOB_TEXT);
    const { logitScale } = (this.model.program.at(-1) as Op<'loss'>).attributes;
    return new Int32Array(this.#memory.buffer, address, VOCABULARY * rows).map((logit) => logit / logitScale);
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const rewardLimit = this.#guard.requireProbes(this.#windows * this.#length, probes);
    const { key, step, sigma, rewardShift, horizon = 0, shard } = probes;
    this.#setControl({
      ...{ key0: key[0], key1: key[1], step, probes: probes.probes, sigma, rewardShift, rewardLimit },
      firstRow: shard?.first ?? 0,
    });
    this.#setText('horizon', horizon);
    const { alignments, alignmentCount } = this.#plan;
    const all = new Int32Array(this.#memory.buffer, alignments, this.threads * alignmentCount).fill(0);
    await this.#run(JOB_TEXT_NODES);
    const weights = this.#alignments(all);
    return {
      alignments: sets ? alignmentsOfDirections(sets, weights) : weights,
      evaluation: this.#evaluation(),
    };
  }

  async alignWeights(): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.#windows);
    throw new TypeError('the guard leaves no room for it');
  }

  /** The sums of all threads, without what pads the rows. */
  #alignments(all: Int32Array): Int32Array {
    const { matrices, alignmentCount } = this.#plan;
    const sums = new Int32Array(this.model.parameters);
    for (let thread = 0; thread < this.threads; thread++) {
      for (const { matrix, address, stride } of matrices) {
        const { offset, rows, columns } = matrix.weights;
        const first = thread * alignmentCount + address - matrices[0].address;
        for (let row = 0; row < rows; row++) {
          const [from, to] = [first + row * stride, offset + row * columns];
          for (let column = 0; column < columns; column++) sums[to + column] += all[from + column];
        }
      }
    }
    return sums;
  }

  async #run(job: number): Promise<void> {
    this.restart();
    if (this.#windows > 1) await this.#helpers.start();
    await this.#helpers.run(job, this.#windows);
  }

  #evaluation(): Evaluation {
    const count = this.#windows * this.#length;
    const { losses, predictions } = this.#plan;
    return {
      losses: new Int32Array(this.#memory.buffer, losses, count).slice(),
      predictions: new Uint8Array(this.#memory.buffer, predictions, count).slice(),
    };
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#helpers.check();
    this.#guard.checkNext(byte, this.#position);
    this.#kernels.textNext(byte, this.#position);
    this.#position += 1;
    return new Int32Array(this.#memory.buffer, this.#plan.logits, VOCABULARY).slice();
  }

  async release(): Promise<void> {
    await this.#helpers.stop();
    this.onRelease();
  }

  /** Writes everything that stays: tables, shapes, addresses. */
  #describe(): void {
    const { model } = this;
    const plan = this.#plan;
    const words = new Int32Array(this.#memory.buffer);
    const halves = new Int16Array(this.#memory.buffer);
    words.set(EXP2, plan.exp2 / 4);
    words.set(LOG2, plan.log2 / 4);
    const { cosines, sines } = rotaryTables(model.headSize, model.context);
    halves.set(cosines, plan.cosines / 2);
    halves.set(sines, plan.sines / 2);
    halves.set(SOFTMAX, plan.softmax / 2);
    halves.set(SILU, plan.silu / 2);
    words.set(model.order, plan.order / 4);
    plan.matrices.forEach(({ matrix: { weights }, address, stride, wide }, index) => {
      const fields = [weights.rows, weights.columns, stride, address, 1, 1, wide ? 1 : 0];
      words.set(fields, plan.matrixWords / 4 + index * MATRIX_WORDS);
    });
    const control: Partial<Record<ControlField, number>> = {
      ...{ exp2: plan.exp2, log2: plan.log2, classes: VOCABULARY, logitScale: 1 },
      ...{ losses: plan.losses, predictions: plan.predictions, logits: plan.logits },
      ...{ scratch: plan.scratch, scratchStride: plan.scratchStride, text: plan.text },
    };
    this.#setControl(control);
    const { factor, range, shift } = softmaxScale(model.headSize, model.context);
    const { width, hidden, heads, keyHeads, headSize, headShift } = model;
    const text: Record<string, number> = {
      ...plan.strides,
      ...plan.offsets,
      ...{ width, hidden, heads, keyHeads, headSize, headShift, factor, range, shift },
      ...{ gain: rmsGain(width), valueBits: rmsValueBits(width) },
      ...{ applications: model.order.length, order: plan.order, matrices: plan.matrixWords },
      ...{ head: plan.matrices.length - 1, length: 0, inputs: plan.inputs, labels: plan.labels },
      ...{
        cosines: plan.cosines,
        sines: plan.sines,
        softmax: plan.softmax,
        silu: plan.silu,
        caches: plan.caches,
        alignments: plan.alignments,
        alignmentCount: plan.alignmentCount,
        firstWeights: plan.matrices[0].address,
        horizon: 0,
      },
    };
    for (const field of TEXT) this.#setText(field, text[field] ?? 0);
  }

  #setControl(control: Partial<Record<ControlField, number>>): void {
    const words = new Int32Array(this.#memory.buffer);
    for (const [field, value] of Object.entries(control)) {
      words[this.#plan.control / 4 + CONTROL.indexOf(field as ControlField)] = value;
    }
  }

  #setText(field: string, value: number): void {
    new Int32Array(this.#memory.buffer)[this.#plan.text / 4 + (TEXT as readonly string[]).indexOf(field)] =
      value;
  }
}
