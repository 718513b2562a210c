/**
 * Records dispatches and submits them together. Their parameters go into one uniform buffer, a
 * slot each, which is written once before the commands that read it.
 */

import { type DeviceBuffer, Usage, type WebgpuDevice } from './device.js';
import { type Groups, itemGroups, type Kernel } from './kernels/kernel.js';

/** Bytes of a slot: what dynamic offsets must be multiples of. */
const SLOT_BYTES = 256;
/** Dispatches that are submitted at the latest. */
const SLOTS_MAX = 1024;

interface Dispatch {
  readonly bindings: GPUBindGroup;
  readonly pipeline: GPUComputePipeline;
  readonly groups: Groups;
}

export class Recorder {
  readonly #slots: DeviceBuffer;
  readonly #words = new Uint32Array((SLOTS_MAX * SLOT_BYTES) / 4);
  #bindings = new WeakMap<Kernel, Map<string, GPUBindGroup>>();
  #dispatches: Dispatch[] = [];

  constructor(readonly device: WebgpuDevice) {
    this.#slots = device.allocate('parameters', SLOTS_MAX * SLOT_BYTES, Usage.uniform);
  }

  get bytes(): number {
    return this.#slots.bytes;
  }

  /**
   * Adds a dispatch; those before it are done when it begins.
   * @param name - of the kernel and its variant, which no other kernel of the device has
   * @param buffers - by the names that the kernel gives them
   * @param params - 32-bit integers by their names
   */
  run<Buffer extends string, Param extends string>(
    name: string,
    make: () => Kernel<Buffer, Param>,
    buffers: Readonly<Record<Buffer, DeviceBuffer>>,
    params: Readonly<Record<Param, number>>,
    groups: Groups,
  ): void {
    const kernel = this.device.kernel(name, make);
    if (this.#dispatches.length === SLOTS_MAX) this.submit();
    const { pipeline, layout } = this.device.compile(kernel);
    const names = Object.keys(kernel.buffers) as Buffer[];
    const ids = names.map((name) => buffers[name].id);
    const known = this.#bindings.get(kernel) ?? new Map<string, GPUBindGroup>();
    this.#bindings.set(kernel, known);
    let bindings = known.get(ids.join());
    if (!bindings) {
      const entries = [
        { binding: 0, resource: { buffer: this.#slots.buffer, size: SLOT_BYTES } },
        ...names.map((name, i) => ({ binding: i + 1, resource: { buffer: buffers[name].buffer } })),
      ];
      bindings = this.device.device.createBindGroup({ label: kernel.name, layout, entries });
      known.set(ids.join(), bindings);
    }
    const at = (this.#dispatches.length * SLOT_BYTES) / 4;
    kernel.params.forEach((param, i) => {
      this.#words[at + i] = params[param];
    });
    this.#dispatches.push({ bindings, pipeline, groups });
  }

  /** Adds a dispatch of a kernel whose threads take an item each. */
  runItems<Buffer extends string, Param extends string>(
    name: string,
    make: () => Kernel<Buffer, Param | 'items'>,
    buffers: Readonly<Record<Buffer, DeviceBuffer>>,
    params: Readonly<Record<Param, number>>,
    items: number,
  ): void {
    this.run<Buffer, Param | 'items'>(name, make, buffers, { ...params, items } as never, itemGroups(items));
  }

  /** Hands everything that was recorded to the device. */
  submit(): void {
    if (this.#dispatches.length === 0) return;
    const { device } = this.device;
    const length = (this.#dispatches.length * SLOT_BYTES) / 4;
    device.queue.writeBuffer(this.#slots.buffer, 0, this.#words, 0, length);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.#dispatches.forEach(({ pipeline, bindings, groups }, slot) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindings, [slot * SLOT_BYTES]);
      pass.dispatchWorkgroups(groups[0], groups[1]);
    });
    pass.end();
    device.queue.submit([encoder.finish()]);
    this.#dispatches = [];
  }

  /** Bindings of a buffer that is freed must not be kept. */
  forget(): void {
    this.#bindings = new WeakMap();
  }

  release(): void {
    this.forget();
    this.device.free(this.#slots);
  }
}
