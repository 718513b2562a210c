/**
 * Browsers: workers from a Blob. They share memory only where the page is cross-origin isolated;
 * elsewhere everything runs on the caller's thread.
 */

import { BackendError, InputError, printable } from '../../errors.js';
import { HELPER_SCRIPT } from './helper-script.js';
import type { Helper, HelperStart, Platform } from './platform.js';

const script = `${HELPER_SCRIPT}
onmessage = ({ data }) => start(data, () => postMessage('ready'));`;

// A function, because a page's isolation is asked for when it is needed, not when the module is loaded.
const isIsolated = () => globalThis.crossOriginIsolated === true;

export const platform: Platform = {
  coreCount: () => (isIsolated() ? globalThis.navigator.hardwareConcurrency : 1),

  get threadsFault() {
    if (isIsolated()) return null;
    return (
      'threads share memory only in a cross-origin isolated page: serve it with ' +
      '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp", or use 1 thread'
    );
  },

  async openFile(path) {
    throw new InputError(
      `"${String(path)}" expected a path, which only Node can open: use a File, a Blob or a URL`,
    );
  },

  enableRelaxedSimd() {}, // browsers have no flags that a page could set

  async startHelper(start: HelperStart): Promise<Helper> {
    const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
    try {
      const worker = new Worker(url);
      const ended = new Promise<string>((resolve) => {
        worker.onerror = ({ message }) => resolve(message || 'does the page allow workers from "blob:"?');
      });
      const ready = new Promise<null>((resolve) => {
        worker.onmessage = () => resolve(null);
      });
      worker.postMessage(start);
      const fault = await Promise.race([ready, ended]);
      if (fault !== null) {
        worker.terminate();
        throw new BackendError(`a worker thread could not be started: ${printable(fault)}`);
      }
      return {
        ended,
        async stop() {
          worker.terminate();
        },
      };
    } finally {
      URL.revokeObjectURL(url);
    }
  },

  async gpu(): Promise<GPU> {
    const gpu = globalThis.navigator.gpu as GPU | undefined;
    if (gpu) return gpu;
    throw new BackendError(
      'the webgpu backend expected a browser with WebGPU, got one without: use a newer one, ' +
        'and a page on HTTPS or localhost, or use the wasm backend',
    );
  },

  async provideNavigatorGpu() {
    await this.gpu();
  },

  gpuFault: () => ('gpu' in globalThis.navigator ? null : 'no WebGPU in this page'),
};
