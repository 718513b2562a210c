/** Options that are the same for every verb that computes, or rebuilds. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { BACKEND_NAMES, THREADS_MAX } from '../src/backend/names.js';

export function addBackendOptions(command: Command): Command {
  return command
    .addOption(new Option('--backend <name>', 'where to compute').choices(BACKEND_NAMES).default('auto'))
    .addOption(threadsOption());
}

export function threadsOption(): Option {
  return new Option('--threads <count>', 'threads of the wasm backend (default: all cores)').argParser(
    parseThreads,
  );
}

/** Of every verb that writes a file. */
export const FORCE_HELP = 'replace a file that is there';

/** Makes a list of an option that may be given again. */
export function collect(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}

/** The same, and `--base`, for every verb that rebuilds. */
export function addRebuildOptions(command: Command): Command {
  return addBackendOptions(command).option(
    '--base <file>',
    'of a delta: its base; again for the base of that (default: beside it)',
    collect,
  );
}

function parseThreads(text: string): number {
  const threads = Number(text);
  if (!/^\d+$/.test(text) || threads < 1 || threads > THREADS_MAX) {
    throw new InvalidArgumentError(`expected an integer in 1…${THREADS_MAX}`);
  }
  return threads;
}
