/** `--backend` and `--threads`, the same for every verb that computes. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { BACKEND_NAMES, THREADS_MAX } from '../src/backend/names.js';

export function addBackendOptions(command: Command, names: readonly string[] = BACKEND_NAMES): Command {
  return command
    .addOption(new Option('--backend <name>', 'where to compute').choices([...names]).default('auto'))
    .option('--threads <count>', 'threads of the wasm backend (default: all cores)', parseThreads);
}

function parseThreads(text: string): number {
  const threads = Number(text);
  if (!/^\d+$/.test(text) || threads < 1 || threads > THREADS_MAX) {
    throw new InvalidArgumentError(`expected an integer in 1…${THREADS_MAX}`);
  }
  return threads;
}
