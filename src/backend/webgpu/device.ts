/**
 * A device: its compiled kernels, its memory, and what becomes of its faults. WebGPU tells of
 * faults out of band; here they surface as errors of the next call that waits for results.
 */

import { BackendError, ConfigError, printable } from '../../errors.js';
import { platform } from '../platform/platform.js';
import { describeAdapter, DOT_FEATURE, findAdapter } from './adapter.js';
import type { Features, Kernel } from './kernels/kernel.js';
import type { TileChoice } from './kernels/tile.js';

/** Flags of the specification; Node has them only after they were put into the global scope. */
export const Usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
const MAP_READ = 1;

export interface WebgpuOptions {
  /** Work memory of one kind, such as pre-activations, in bytes (64 MiB if left out); with less, fewer examples go at a time. */
  readonly workBytes?: number;
  /** Ends the backend's summary. */
  readonly note?: string;
  /** Leave out `dot4I8Packed` even where the compiler has it. */
  readonly dot?: boolean;
  /** Leave out subgroups even where the device has them. */
  readonly subgroups?: boolean;
  /** Sums that a thread of the tiled product keeps, each way: 1, 2, 4 or 8. Left out: what suits adapter and shape. */
  readonly tile?: number;
}

/** A kernel ready to run. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** A buffer that the device's books have. */
export interface DeviceBuffer {
  readonly id: number;
  readonly bytes: number;
  readonly buffer: GPUBuffer;
}

/** A part of a buffer that is wanted on this side. */
export interface Region {
  readonly from: DeviceBuffer;
  readonly bytes: number;
}

export class WebgpuDevice {
  /** Bytes of all buffers that are alive, those of results on their way among them. */
  liveBytes = 0;
  #nextId = 0;
  readonly #alive = new Set<DeviceBuffer>();
  readonly #kernels = new Map<string, Kernel>();
  readonly #compiled = new Map<string, Compiled>();
  /** The same by kernel, which is quicker to find. */
  readonly #ready = new WeakMap<Kernel, Compiled>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  #lost: GPUDeviceLostInfo | null = null;
  #fault: GPUError | null = null;

  private constructor(
    readonly device: GPUDevice,
    readonly features: Features,
    /** For people. */
    readonly name: string,
    readonly software: boolean,
    readonly tiles: TileChoice,
    /** See `WebgpuOptions`. */
    readonly workBytes: number,
  ) {
    void device.lost.then((info) => {
      this.#lost = info;
    });
    device.addEventListener('uncapturederror', (event) => {
      this.#fault ??= event.error;
    });
  }

  /**
   * Opens the fastest adapter's device with all the memory that it has.
   * @throws {BackendError} when there is no adapter, or it gives no device
   */
  static async open({
    dot = true,
    subgroups = true,
    tile,
    workBytes = WORK_BYTES,
  }: WebgpuOptions): Promise<WebgpuDevice> {
    const gpu = await (await platform()).platform.gpu();
    const adapter = await findAdapter(gpu);
    const { name, software } = describeAdapter(gpu, adapter);
    const features: Features = {
      dot: dot && gpu.wgslLanguageFeatures.has(DOT_FEATURE),
      subgroups: subgroups && adapter.features.has('subgroups'),
    };
    const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits;
    try {
      const device = await adapter.requestDevice({
        requiredFeatures: features.subgroups ? ['subgroups'] : [],
        requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
      });
      const tiles =
        tile === undefined
          ? { max: software ? SOFTWARE_TILE_MAX : TILE_MAX, wanted: TILES_WANTED }
          : { max: tile, wanted: 1 };
      return new WebgpuDevice(device, features, name, software, tiles, workBytes);
    } catch (cause) {
      throw new BackendError(
        `the webgpu backend expected a device of ${name}, got ${printable((cause as Error).message)}: use "--backend wasm"`,
        { cause },
      );
    }
  }

  /** Workgroup memory of a kernel, in bytes. */
  get workgroupBytes(): number {
    return this.device.limits.maxComputeWorkgroupStorageSize;
  }

  /**
   * Makes room on the device, filled with zeros.
   * @throws {ConfigError} when the device cannot bind so much in one piece
   */
  allocate(label: string, bytes: number, usage: number = Usage.storage): DeviceBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const largest = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (size > largest) {
      throw new ConfigError(
        `the ${label} need ${mebibytes(size)} MiB in one piece, more than the ${mebibytes(largest)} MiB of ${this.name}: ` +
          'use a smaller batch or model, or "--backend wasm"',
      );
    }
    const buffer = this.device.createBuffer({
      ...{ label, size },
      usage: usage === Usage.mapRead ? usage | Usage.copyTarget : usage | Usage.copySource | Usage.copyTarget,
    });
    const made = { id: this.#nextId++, bytes: size, buffer };
    this.#alive.add(made);
    this.liveBytes += size;
    return made;
  }

  free(buffer: DeviceBuffer): void {
    if (!this.#alive.delete(buffer)) return;
    this.liveBytes -= buffer.bytes;
    buffer.buffer.destroy();
  }

  /** Writes to a buffer, after what was submitted before. */
  write(buffer: DeviceBuffer, data: GPUAllowSharedBufferSource, offsetBytes = 0): void {
    this.device.queue.writeBuffer(buffer.buffer, offsetBytes, data);
  }

  /** Fills a buffer with zeros, after what was submitted before. */
  clear(buffer: DeviceBuffer): void {
    const encoder = this.device.createCommandEncoder();
    encoder.clearBuffer(buffer.buffer);
    this.device.queue.submit([encoder.finish()]);
  }

  /** The kernel of a name, which says all that it is made of; made when it is first needed. */
  kernel<Made extends Kernel>(name: string, make: () => Made): Made {
    const made = (this.#kernels.get(name) as Made | undefined) ?? make();
    this.#kernels.set(name, made);
    return made;
  }

  /** Compiles a kernel, once for each source. */
  compile(kernel: Kernel): Compiled {
    const ready = this.#ready.get(kernel);
    if (ready) return ready;
    const compiled = this.#compiled.get(kernel.source) ?? this.#build(kernel);
    this.#compiled.set(kernel.source, compiled);
    this.#ready.set(kernel, compiled);
    return compiled;
  }

  /**
   * Waits for all that was submitted and brings parts of buffers here.
   * @returns the bytes of each region
   * @throws {BackendError} when the device was lost or ran out of memory
   */
  async fetch(regions: readonly Region[]): Promise<ArrayBuffer[]> {
    this.check();
    const starts: number[] = [];
    let end = 0;
    for (const { bytes } of regions) {
      starts.push(end);
      end += Math.ceil(bytes / 8) * 8;
    }
    const staging = this.allocate('results', end, Usage.mapRead);
    try {
      const encoder = this.device.createCommandEncoder();
      regions.forEach(({ from, bytes }, i) => {
        encoder.copyBufferToBuffer(from.buffer, 0, staging.buffer, starts[i], Math.ceil(bytes / 4) * 4);
      });
      this.device.queue.submit([encoder.finish()]);
      await staging.buffer.mapAsync(MAP_READ).catch((error: Error) => this.#explain(error));
      this.check();
      const mapped = staging.buffer.getMappedRange();
      return regions.map(({ bytes }, i) => mapped.slice(starts[i], starts[i] + bytes));
    } finally {
      this.free(staging);
    }
  }

  /** @throws {BackendError} when the device is lost, or has told of a fault */
  check(): void {
    if (this.#lost) {
      const { reason, message } = this.#lost;
      throw new BackendError(
        `the webgpu device was lost (${printable(`${reason}: ${message}`)}): what was saved is whole, ` +
          'continue with "--resume", or use "--backend wasm"',
      );
    }
    if (!this.#fault) return;
    const { message } = this.#fault;
    // By name: Node has no global class of it.
    if (this.#fault.constructor.name === 'GPUOutOfMemoryError') {
      throw new BackendError(
        `the webgpu device ran out of memory (${printable(message)}): use a smaller batch or model, or "--backend wasm"`,
      );
    }
    throw new Error(`WebGPU refused what it was given: ${printable(message)}`);
  }

  /** Frees everything; without it the process would not end. */
  destroy(): void {
    for (const buffer of this.#alive) this.free(buffer);
    this.device.destroy();
  }

  /** Results that cannot be read: nearly always a lost device, of which WebGPU tells a little later. */
  async #explain(error: Error): Promise<never> {
    await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, LOSS_MS))]);
    this.check();
    throw error;
  }

  #build({ name, source, buffers }: Kernel): Compiled {
    const layout = this.#layoutOf(
      Object.values(buffers)
        .map(({ access }) => access)
        .join(),
    );
    const pipeline = this.device.createComputePipeline({
      label: name,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: this.device.createShaderModule({ label: name, code: source }),
        entryPoint: 'main',
      },
    });
    return { layout, pipeline };
  }

  /** The layout of a block of parameters and so many storage buffers. */
  #layoutOf(accesses: string): GPUBindGroupLayout {
    const found = this.#layouts.get(accesses);
    if (found) return found;
    const layout = this.device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } },
        ...accesses.split(',').map((access, index): GPUBindGroupLayoutEntry => ({
          binding: index + 1,
          visibility: COMPUTE,
          buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
        })),
      ],
    });
    this.#layouts.set(accesses, layout);
    return layout;
  }
}

const WORK_BYTES = 2 ** 26;
/** Of a real GPU, whose registers hold 8 × 8 sums. */
const TILE_MAX = 8;
/** Of a software adapter, which compiles more slowly the longer a kernel is. */
const SOFTWARE_TILE_MAX = 2;
/** With fewer, parts of a large device are without work. */
const TILES_WANTED = 128;
/** GPUShaderStage.COMPUTE. */
const COMPUTE = 4;
/** How long a reason for a loss is waited for. */
const LOSS_MS = 500;

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
