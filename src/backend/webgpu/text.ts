/**
 * A transformer on a device: windows go through it together, as many as the work memory has room for, a row a
 * position; a text that grows goes a byte at a time, with keys and values of all applications of blocks in a cache.
 */

import { type Transformer, VOCABULARY } from '../../ternary/transformer.js';
import type { Alignment, Evaluation, PlacedText, TextProbes, TextRoom } from '../backend.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import { roundUp } from './plan.js';
import { Recorder } from './recorder.js';
import { type Activations, takeActivations, TextForward, widestOf } from './text-forward.js';
import type { TextAligner } from './text-align.js';

export class WebgpuText implements PlacedText {
  readonly #guard: TextGuard;
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
    readonly room: TextRoom,
    Aligner: typeof TextAligner | null,
    readonly onRelease: () => void,
  ) {
    device.check();
    this.#guard = new TextGuard(model, room);
    const { context, order, keyHeads, headSize } = model;
    const rowsMax = Math.floor(device.workBytes / (4 * widestOf(model)));
    const windows = Math.floor(rowsMax / context);
    this.#windowsAtOnce = Math.max(1, Math.min(room.windows, Aligner ? windows >> 1 : windows));
    this.#recorder = new Recorder(device);
    const take = (label: string, words: number): DeviceBuffer => {
      const buffer = device.allocate(label, 4 * words);
      this.#buffers.push(buffer);
      return buffer;
    };
    try {
      this.#forward = new TextForward(device, this.#recorder, model, take);
      this.#rows = takeActivations(model, this.#windowsAtOnce * context, device.workBytes, take);
      const positions = room.windows * context;
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
          { ...room, windows: this.#windowsAtOnce },
          rowsMax,
          take,
        );
      }
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  async writeWeights(values: Int8Array): Promise<void> {
    checkValues(this.model, values);
    this.device.check();
    this.#forward.writeWeights(values);
  }

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#guard.checkWindows(bytes, length);
    this.#length = length;
    this.#windows = bytes.length / (length + 1);
    const [inputs, labels] = [0, 1].map((from) => {
      const part = new Uint8Array(roundUp(this.#windows * length, 4));
      for (let window = 0; window < this.#windows; window++) {
        const first = window * (length + 1) + from;
        part.set(bytes.subarray(first, first + length), window * length);
      }
      return part;
    });
    this.device.write(this.#batch.bytes, inputs);
    this.device.write(this.#batch.labels, labels);
  }

  async evaluate(): Promise<Evaluation> {
    const length = this.#guard.requireWindows(this.#length);
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

  async align(probes: TextProbes): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.#windows, this.#length, probes);
    this.restart();
    const aligner = this.#aligner as TextAligner; // the guard has seen that there is room
    aligner.begin();
    for (const part of this.#parts()) aligner.record({ ...part, length: this.#length }, probes, limit);
    this.#recorder.submit();
    const [sums, losses, predictions] = await this.device.fetch([
      { from: aligner.alignments, bytes: 4 * this.model.parameters },
      ...this.#results(),
    ]);
    return { alignments: new Int32Array(sums), evaluation: evaluationOf(losses, predictions) };
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
