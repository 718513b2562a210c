/** `ternseed env`: what a bug report needs to say about the machine. */

import { arch, cpus, platform, release, totalmem } from 'node:os';
import { coreCount } from '../src/backend/open.js';
import { loadKernels } from '../src/backend/wasm/kernels.js';
import { BackendError } from '../src/errors.js';
import { printResult, table } from './output.js';
import { version } from './version.js';

export async function env({ json }: { json: boolean }): Promise<void> {
  const cores = await coreCount();
  const simd = await simdOf();
  const result = {
    ternseed: version,
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores,
    memoryBytes: totalmem(),
    simd,
    backends: { reference: true, wasm: simd !== 'none', webgpu: false },
    adapters: [],
  };
  printResult(json, result, [
    `ternseed ${version}`,
    ...table([
      ['Node', `${result.node} (V8 ${result.v8})`],
      ['platform', result.platform],
      ['processor', `${result.cpu}, ${cores} cores`],
      ['memory', `${(result.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
      ['wasm SIMD', simd],
      ['backends', simd === 'none' ? 'reference' : 'wasm, reference'],
    ]),
  ]);
}

async function simdOf(): Promise<'relaxed' | 'plain' | 'none'> {
  try {
    return (await loadKernels('auto')).relaxed ? 'relaxed' : 'plain';
  } catch (error) {
    if (error instanceof BackendError) return 'none';
    throw error;
  }
}
