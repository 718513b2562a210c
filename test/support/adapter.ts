/** The software adapter for WebGPU, found by suites that want a GPU; import it before anything asks for one. */

import { existsSync } from 'node:fs';
import { listAdapters } from '../../src/backend/webgpu/adapter.js';

/** Debian's chromium carries a software adapter; Dawn finds it by this. */
const SOFTWARE_ADAPTER = '/usr/lib/chromium/vk_swiftshader_icd.json';
if (existsSync(SOFTWARE_ADAPTER)) process.env.VK_ICD_FILENAMES ??= SOFTWARE_ADAPTER;

/** Why there is no WebGPU here, or null where there is. CI has it. */
export const webgpuFault: string | null = await listAdapters().then(
  (adapters) => (adapters.length > 0 ? null : 'no adapter'),
  (error: Error) => error.message,
);
