/** `ternseed env`: what a bug report needs to say about the machine. */

import { arch, cpus, platform, release, totalmem } from 'node:os';
import type { BackendName } from '../src/backend/backend.js';
import { coreCount } from '../src/backend/open.js';
import { loadKernels } from '../src/backend/wasm/kernels.js';
import { type AdapterReport, DOT_FEATURE, listAdapters } from '../src/backend/webgpu/adapter.js';
import { BackendError } from '../src/errors.js';
import { printResult, table } from './output.js';
import { version } from './version.js';

export async function env({ json }: { json: boolean }): Promise<void> {
  const cores = await coreCount();
  const simd = await simdOf();
  const { adapters, fault } = await adaptersHere();
  const result = {
    ternseed: version,
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores,
    memoryBytes: totalmem(),
    simd,
    backends: { reference: true, wasm: simd !== 'none', webgpu: adapters.length > 0 },
    adapters,
  };
  printResult(json, result, [
    `ternseed ${version}`,
    ...table([
      ['Node', `${result.node} (V8 ${result.v8})`],
      ['platform', result.platform],
      ['processor', `${result.cpu}, ${cores} cores`],
      ['memory', `${(result.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
      ['wasm SIMD', simd],
      ...adapters.map(({ name, software, features }): [string, string] => [
        'GPU',
        `${name}${software ? ', on the processor' : ''}: ${features.filter((one) => USED.includes(one)).join(', ')}`,
      ]),
      ...(fault === null ? [] : ([['GPU', fault]] as const)),
      [
        'backends',
        Object.keys(result.backends)
          .filter((one) => result.backends[one as BackendName])
          .join(', '),
      ],
    ]),
  ]);
}

/** Features that kernels use. */
const USED: readonly string[] = [DOT_FEATURE, 'subgroups'];

/** The adapters of WebGPU, or why there are none. */
async function adaptersHere(): Promise<{ adapters: AdapterReport[]; fault: string | null }> {
  try {
    const adapters = await listAdapters();
    return { adapters, fault: adapters.length > 0 ? null : 'none' };
  } catch (error) {
    if (error instanceof BackendError) return { adapters: [], fault: error.message };
    throw error;
  }
}

async function simdOf(): Promise<'relaxed' | 'plain' | 'none'> {
  try {
    return (await loadKernels('layers', 'auto')).relaxed ? 'relaxed' : 'plain';
  } catch (error) {
    if (error instanceof BackendError) return 'none';
    throw error;
  }
}
