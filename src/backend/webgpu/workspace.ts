/** The buffers of a placed model, and what each is for; its recorder. */

import type { MemoryUse } from '../backend.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import { Recorder } from './recorder.js';

/** What a buffer is for, as `memory` tells it. */
type Purpose = keyof MemoryUse;

export class Workspace {
  readonly recorder: Recorder;
  readonly #use: Record<Purpose, number> = { weights: 0, latents: 0, batch: 0, work: 0 };
  readonly #buffers = new Map<DeviceBuffer, Purpose>();
  readonly #growing = new Map<string, DeviceBuffer>();

  constructor(readonly device: WebgpuDevice) {
    this.recorder = new Recorder(device);
  }

  get memory(): MemoryUse {
    return { ...this.#use, work: this.#use.work + this.recorder.bytes };
  }

  /**
   * Makes room for words, zeros at first.
   * @throws {ConfigError} when the device cannot bind so many in one piece
   */
  take(purpose: Purpose, label: string, words: number): DeviceBuffer {
    const buffer = this.device.allocate(label, 4 * words);
    this.#buffers.set(buffer, purpose);
    this.#use[purpose] += buffer.bytes;
    return buffer;
  }

  /** The work buffer of a name, of at least so many words; what it held is lost when it grows. */
  growing(label: string, words: number): DeviceBuffer {
    const old = this.#growing.get(label);
    if (old && old.bytes >= 4 * words) return old;
    if (old) {
      this.recorder.submit(); // those who read it
      this.#give(old);
      this.recorder.forget();
    }
    const grown = this.take('work', label, words);
    this.#growing.set(label, grown);
    return grown;
  }

  /** The buffer of constants of a name, made when it is first needed. */
  table(name: string, make: () => Int32Array<ArrayBuffer>): DeviceBuffer {
    const known = this.#growing.get(name);
    if (known) return known;
    const values = make();
    const buffer = this.growing(name, values.length);
    this.device.write(buffer, values);
    return buffer;
  }

  /** Arguments of the work that is recorded next; they stay until the next ones of that name come. */
  put(name: string, values: Int8Array | Int16Array): DeviceBuffer {
    const bytes = new Uint8Array(4 * Math.ceil(values.byteLength / 4));
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    const buffer = this.growing(name, bytes.length / 4);
    this.device.write(buffer, bytes);
    return buffer;
  }

  release(): void {
    for (const buffer of [...this.#buffers.keys()]) this.#give(buffer);
    this.recorder.release();
  }

  #give(buffer: DeviceBuffer): void {
    this.#use[this.#buffers.get(buffer) as Purpose] -= buffer.bytes;
    this.#buffers.delete(buffer);
    this.device.free(buffer);
  }
}
