/** Node: worker threads, and V8's flags. */

import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { HELPER_SCRIPT } from './helper-script.js';
import type { Helper, HelperStart, Platform } from './platform.js';

const script = `${HELPER_SCRIPT}
const { parentPort, workerData } = require('node:worker_threads');
start(workerData, () => parentPort.postMessage('ready'));`;

export const platform: Platform = {
  coreCount: availableParallelism,
  threadsFault: null,
  openFile: (path) => open(path, 'r'),

  /** Node 20 has it behind a flag, which can be set as long as nothing was compiled with it. */
  enableRelaxedSimd() {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  },

  async startHelper(start: HelperStart): Promise<Helper> {
    const worker = new Worker(script, { eval: true, workerData: start });
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    worker.unref(); // the process may end while helpers wait
    return {
      async stop() {
        await worker.terminate();
      },
    };
  },
};
