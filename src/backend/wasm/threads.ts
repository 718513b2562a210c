/**
 * Helper threads: workers that instantiate the kernels over the shared memory and then stay
 * inside `serve`, which waits for jobs. Their script is a string, so that it works from any
 * bundle; Node's worker threads and the browser's workers take the same one.
 */

import { BackendError } from '../../errors.js';
import { isNode } from './kernels.js';

/** Everything a helper needs. */
export interface HelperStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly thread: number;
  /** Jobs so far; the helper waits for the next. */
  readonly generation: number;
}

/** A running helper; `stop` ends it at once. */
export interface Helper {
  stop(): Promise<void>;
}

const script = `
const start = ({ module, memory, control, thread, generation }, ready) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort() {} } });
  exports.attach(control, thread);
  ready();
  exports.serve(generation);
};
if (typeof require === 'function') {
  const { parentPort, workerData } = require('node:worker_threads');
  start(workerData, () => parentPort.postMessage('ready'));
} else {
  onmessage = (event) => start(event.data, () => postMessage('ready'));
}`;

/** Starts a helper and waits until it is ready. */
export async function startHelper(start: HelperStart): Promise<Helper> {
  return isNode() ? startInNode(start) : startInBrowser(start);
}

async function startInNode(start: HelperStart): Promise<Helper> {
  const { Worker } = await import('node:worker_threads');
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
}

async function startInBrowser(start: HelperStart): Promise<Helper> {
  const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  const worker = new Worker(url);
  try {
    await new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = () => reject(new BackendError('a worker thread could not be started'));
      worker.postMessage(start);
    });
  } finally {
    URL.revokeObjectURL(url);
  }
  return {
    async stop() {
      worker.terminate();
    },
  };
}
