/**
 * A transformer in the memory that the kernels share: its weights with rows padded to 16 bytes, tables, the windows
 * of one batch with their results, keys and values of the text that grows, and for each thread room for one window.
 */

import { SOFTMAX, softmaxScale } from '../../ops/attention/op.js';
import { EXP2, LOG2 } from '../../ops/loss/op.js';
import { rmsGain, rmsValueBits } from '../../ops/rms-norm/op.js';
import { rotaryTables } from '../../ops/rotary/op.js';
import { SILU } from '../../ops/gate/op.js';
import { type Transformer, VOCABULARY } from '../../ternary/transformer.js';
import { ConfigError } from '../../errors.js';
import type { Alignment, Evaluation, PlacedText, TextProbes, TextRoom } from '../backend.js';
import type { Platform } from '../platform/platform.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';
import { HelperThreads } from './helpers.js';
import type { Kernels, TransformerExports } from './kernels.js';
import { CONTROL, type ControlField } from './memory-plan.js';
import { MATRIX_WORDS, planText, TEXT, type TextPlan } from './text-plan.js';

/** Jobs of assembly/jobs.ts. */
const JOB_TEXT = 10;
const JOB_TEXT_NODES = 11;
const PAGE_BYTES = 65_536;
const PAGES_MAX = 65_536;

export class WasmText implements PlacedText {
  readonly #guard: TextGuard;
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
    room: TextRoom,
    readonly threads: number,
    readonly onRelease: () => void,
  ) {
    this.#guard = new TextGuard(model, room);
    this.#plan = planText(model, room, threads);
    const pages = Math.ceil(this.#plan.end / PAGE_BYTES) + 1;
    if (pages > PAGES_MAX) {
      const gibibytes = (this.#plan.end / 2 ** 30).toFixed(1);
      throw new ConfigError(
        `the model with ${room.windows} windows on ${threads} threads needs ${gibibytes} GiB of memory, more than the ` +
          '4 GiB of wasm: use fewer windows or threads',
      );
    }
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const instance = new WebAssembly.Instance(compiled.module, { env: { memory: this.#memory, abort() {} } });
    this.#kernels = instance.exports as unknown as TransformerExports;
    this.#describe();
    this.#kernels.attach(this.#plan.control, 0);
    this.#helpers = new HelperThreads(
      ...[host, compiled.module, this.#kernels, this.#memory, this.#plan.control, threads - 1],
    );
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#helpers.check();
    checkValues(this.model, values);
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

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#guard.checkWindows(bytes, length);
    new Uint8Array(this.#memory.buffer).set(bytes, this.#plan.windows);
    this.#length = length;
    this.#windows = bytes.length / (length + 1);
    this.#setText('length', length);
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireWindows(this.#length);
    await this.#run(JOB_TEXT);
    return this.#evaluation();
  }

  async align(probes: TextProbes): Promise<Alignment<Int32Array>> {
    const rewardLimit = this.#guard.requireProbes(this.#windows, this.#length, probes);
    const { key, step, sigma, rewardShift, horizon } = probes;
    this.#setControl({
      ...{ key0: key[0], key1: key[1], step, probes: probes.probes, sigma, rewardShift, rewardLimit },
    });
    this.#setText('horizon', horizon);
    const { alignments, alignmentCount } = this.#plan;
    const all = new Int32Array(this.#memory.buffer, alignments, this.threads * alignmentCount).fill(0);
    await this.#run(JOB_TEXT_NODES);
    return { alignments: this.#alignments(all), evaluation: this.#evaluation() };
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
      ...{ head: plan.matrices.length - 1, length: 0, windows: plan.windows },
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
