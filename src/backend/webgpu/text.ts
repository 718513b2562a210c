/**
 * A transformer on a device: windows go through it together, as many as the work memory has room for, a row a
 * position; a text that grows goes a byte at a time, with keys and values of all applications of blocks in a cache.
 */

import type { Transformer } from '../../ternary/builders/transformer.js';
import { VOCABULARY } from '../../ternary/units.js';
import type { DirectionSet } from '../../random/directions.js';
import type { Key } from '../../random/philox.js';
import type { Op } from '../../ternary/graph.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import { alignmentsOfDirections, Latents } from '../host-latents.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import { roundUp } from './plan.js';
import { Recorder } from './recorder.js';
import { type Activations, takeActivations, TextForward, widestOf } from './text-forward.js';
import type { TextAligner } from './text-align.js';

export class WebgpuText implements Placed {
  readonly #guard: Guard;
  /** The values, and what directions move. */
  readonly #latents: Latents;
  readonly #recorder: Recorder;
  readonly #buffers: DeviceBuffer[] = [];
  readonly #forward: TextForward;
  /** Windows that go at a time. */
  readonly #windowsAtOnce: number;
  readonly #rows: Activations;
  readonly #batch: {
    readonly bytes: DeviceBuffer;
    readonly labels: DeviceBuffer;
    readonly losses: DeviceBuffer;
    readonly predictions: DeviceBuffer;
  };
  /** Of a text that grows: its next byte, and keys and values of all applications of blocks. */
  readonly #growing: {
    readonly next: DeviceBuffer;
    readonly keys: DeviceBuffer;
    readonly values: DeviceBuffer;
  };
  readonly #aligner: TextAligner | null = null;
  #windows = 0;
  #length = 0;
  #position = 0;

  /**
   * @param Aligner - what `align` needs, when there is to be room for it
   * @throws {ConfigError} when the device has no room for it
   */
  constructor(
    readonly device: WebgpuDevice,
    readonly model: Transformer,
    readonly room: Room,
    Aligner: typeof TextAligner | null,
    readonly onRelease: () => void,
  ) {
    device.check();
    this.#guard = new Guard(model, room);
    this.#latents = new Latents(model);
    const { context, order, keyHeads, headSize } = model;
    const rowsMax = Math.floor(device.workBytes / (4 * widestOf(model)));
    const windows = Math.floor(rowsMax / context);
    this.#windowsAtOnce = Math.max(1, Math.min(room.batch, Aligner ? windows >> 1 : windows));
    this.#recorder = new Recorder(device);
    const take = (label: string, words: number): DeviceBuffer => {
      const buffer = device.allocate(label, 4 * words);
      this.#buffers.push(buffer);
      return buffer;
    };
    try {
      this.#forward = new TextForward(device, this.#recorder, model, take);
      this.#rows = takeActivations(model, this.#windowsAtOnce * context, device.workBytes, take);
      const positions = room.batch * context;
      this.#batch = {
        bytes: take('bytes', positions / 4 + 1),
        labels: take('labels', positions / 4 + 1),
        losses: take('losses', positions),
        predictions: take('predictions', positions),
      };
      const cache = order.length * context * keyHeads * headSize;
      this.#growing = {
        next: take('next byte', 1),
        keys: take('keys of a text', cache),
        values: take('values of a text', cache),
      };
      if (Aligner) {
        this.#aligner = new Aligner(
          this.#forward,
          { rows: this.#rows, ...this.#batch },
          { windows: this.#windowsAtOnce, probes: room.probes ?? 0 },
          rowsMax,
          take,
        );
      }
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  get graph(): Transformer {
    return this.model;
  }

  get batchMax(): number {
    return this.#guard.batchMax;
  }

  get memory(): MemoryUse {
    const weights = this.#forward.weights.bytes;
    const { bytes, labels, losses, predictions } = this.#batch;
    const batch = [bytes, labels, losses, predictions].reduce((sum, buffer) => sum + buffer.bytes, 0);
    const all = this.#buffers.reduce((sum, buffer) => sum + buffer.bytes, 0);
    return { weights, latents: 0, batch, work: all - weights - batch };
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#guard.checkWeights(values);
    this.#move((latents) => latents.values.set(values));
  }

  async readWeights(): Promise<Int8Array> {
    this.device.check();
    return this.#latents.values.slice();
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#move((latents) => latents.init(key, cut));
  }

  async startLatents(values: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.#guard.checkWeights(values);
    this.#move((latents) => latents.start(values, cut));
  }

  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.#move((latents) => latents.applyStep(set, coefficients));
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    this.#move((latents) => latents.applyPool(sets, coefficients));
  }

  #move(change: (latents: Latents) => void): void {
    this.device.check();
    change(this.#latents);
    this.#forward.writeWeights(this.#latents.values);
  }

  load(batch: Batch): void {
    this.#guard.checkShape(batch);
    const { inputs, labels, length } = batch;
    this.#length = length;
    this.#windows = labels.length / length;
    const [bytes, marks] = [inputs, labels].map((values) => {
      const padded = new Uint8Array(roundUp(values.length, 4));
      padded.set(values);
      return padded;
    });
    this.device.write(this.#batch.bytes, bytes);
    this.device.write(this.#batch.labels, marks);
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.#windows);
    const length = this.#length;
    this.restart();
    const { bytes } = this.#batch;
    for (const { first, rows } of this.#parts()) {
      const all = { at: this.#rows, rows, length, start: 0 };
      this.#forward.embed(bytes, all.at.x, rows, first);
      this.#forward.blocksFrom(0, all);
      this.#forward.logits(all);
      this.#forward.losses(all, this.#batch, { first, examples: rows, firstResult: first, whole: true });
    }
    this.#recorder.submit();
    const [losses, predictions] = await this.device.fetch(this.#results());
    return evaluationOf(losses, predictions);
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.#windows);
    const length = this.#length;
    this.restart();
    const { logitScale } = (this.model.program.at(-1) as Op<'loss'>).attributes;
    const logits = new Int32Array(VOCABULARY * this.#windows * length);
    for (const { first, rows } of this.#parts()) {
      const all = { at: this.#rows, rows, length, start: 0 };
      this.#forward.embed(this.#batch.bytes, all.at.x, rows, first);
      this.#forward.blocksFrom(0, all);
      this.#forward.logits(all);
      this.#recorder.submit();
      const [part] = await this.device.fetch([{ from: all.at.z, bytes: 4 * VOCABULARY * rows }]);
      logits.set(
        new Int32Array(part).map((logit) => logit / logitScale),
        VOCABULARY * first,
      );
    }
    return logits;
  }

  async alignWeights(): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.#windows);
    throw new TypeError('the guard leaves no room for it');
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.#windows * this.#length, probes);
    this.restart();
    const aligner = this.#aligner as TextAligner; // the guard has seen that there is room
    aligner.begin();
    for (const part of this.#parts()) aligner.record({ ...part, length: this.#length }, probes, limit);
    this.#recorder.submit();
    const [sums, losses, predictions] = await this.device.fetch([
      { from: aligner.alignments, bytes: 4 * this.model.parameters },
      ...this.#results(),
    ]);
    const weights = new Int32Array(sums);
    return {
      alignments: sets ? alignmentsOfDirections(sets, weights) : weights,
      evaluation: evaluationOf(losses, predictions),
    };
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    const { model } = this;
    const { next, keys, values } = this.#growing;
    const forward = this.#forward;
    const at = this.#rows;
    const all = { at, rows: 1, length: 1, start: this.#position };
    this.device.write(next, Uint32Array.of(byte));
    forward.embed(next, at.x, 1, 0);
    model.order.forEach((layer, application) => {
      const block = model.layers[layer];
      const keysFrom = application * model.context;
      forward.attentionInputs(block, all, keys, values, keysFrom + this.#position);
      forward.attention(
        { ...{ q: at.q, keys, values }, ...{ queryRows: 1, keyRows: 1, valueRows: 1, keysFrom } },
        all,
      );
      forward.output(block, all);
      forward.feedForward(block, all);
    });
    forward.logits(all);
    this.#recorder.submit();
    this.#position += 1;
    const [logits] = await this.device.fetch([{ from: at.z, bytes: 4 * VOCABULARY }]);
    return new Int32Array(logits);
  }

  async release(): Promise<void> {
    this.#free();
    this.onRelease();
  }

  /** The windows that are loaded, in parts that go at a time: rows and the index of the first. */
  #parts(): { first: number; rows: number }[] {
    const parts = [];
    for (let window = 0; window < this.#windows; window += this.#windowsAtOnce) {
      const windows = Math.min(this.#windowsAtOnce, this.#windows - window);
      parts.push({ first: window * this.#length, rows: windows * this.#length });
    }
    return parts;
  }

  #results() {
    const bytes = 4 * this.#windows * this.#length;
    return [this.#batch.losses, this.#batch.predictions].map((from) => ({ from, bytes }));
  }

  #free(): void {
    for (const buffer of this.#buffers.splice(0)) this.device.free(buffer);
    this.#recorder.release();
  }
}

function evaluationOf(losses: ArrayBuffer, predictions: ArrayBuffer): Evaluation {
  return {
    losses: new Int32Array(losses),
    predictions: Uint8Array.from(new Uint32Array(predictions)),
  };
}
