/** Finding a GPU, and saying what it is. */

import { BackendError, printable } from '../../errors.js';
import { platform } from '../platform/platform.js';

/** What there is to say about an adapter. */
export interface AdapterReport {
  /** For people: `NVIDIA H100 PCIe hopper`. */
  readonly name: string;
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  readonly features: readonly string[];
}

/** What `languageFeatures` must hold for `dot4I8Packed`. */
export const DOT_FEATURE = 'packed_4x8_integer_dot_product';

/**
 * The fastest adapter.
 * @throws {BackendError} when there is none, with what to install
 */
export async function findAdapter(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  throw new BackendError(
    'the webgpu backend expected a GPU adapter, got none: install a Vulkan, Metal or D3D12 driver, or use "--backend wasm"',
  );
}

/** Every adapter that the engine tells of, the fastest first. */
export async function listAdapters(): Promise<AdapterReport[]> {
  const gpu = await (await platform()).platform.gpu();
  const asked: GPURequestAdapterOptions[] = [
    { powerPreference: 'high-performance' },
    { powerPreference: 'low-power' },
    { forceFallbackAdapter: true },
  ];
  const reports = new Map<string, AdapterReport>();
  for (const options of asked) {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) continue;
    const report = describeAdapter(gpu, adapter);
    reports.set(report.name, report);
  }
  return [...reports.values()];
}

export function describeAdapter(gpu: GPU, adapter: GPUAdapter): AdapterReport {
  const { vendor, architecture, device, description } = adapter.info;
  const label = [description || device || vendor, architecture].filter(Boolean).join(' ');
  const dot = gpu.wgslLanguageFeatures.has(DOT_FEATURE) ? [DOT_FEATURE] : [];
  return {
    name: printable(label || 'unnamed adapter'),
    software: adapter.info.isFallbackAdapter,
    features: [...dot, ...adapter.features].sort(),
  };
}
