#!/usr/bin/env node
/**
 * The command line: verbs, their options, and what becomes of errors. Each verb is a file of
 * its own, loaded when it is called.
 */

import { Command, CommanderError } from 'commander';
import { printable, TernseedError } from '../src/errors.js';
import { addBackendOptions, addRebuildOptions, collect, FORCE_HELP } from './backend-options.js';
import { unusable } from './system-error.js';
import { Interrupted } from './interrupted.js';
import { version } from './version.js';

/** Exit codes that belong to no error class. */
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;

async function buildProgram(argv: readonly string[]): Promise<Command> {
  const program = new Command('ternseed')
    .description('Train ternary networks and ship them as a few kilobytes of seeds.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(see --help)')
    .showSuggestionAfterError();

  const train = program.command('train').description('train a network and write its artifact');
  // Its options are the settings of both trainers: half of the time that `--help` would take.
  if (argv.includes('train')) (await import('./train-command.js')).addSources(train);

  addRebuildOptions(program.command('eval').argument('<file>', 'an artifact: a path, - or an http(s) URL'))
    .description('accuracy of an artifact on a data set, or its bits a byte on a text')
    .requiredOption('--data <source>', 'mnist, a folder of four IDX files, or a text')
    .option('--split <name>', 'test (of a text its last tenth) or train', 'test')
    .option('--stride <bytes>', 'of a text: from one window to the next (default: a whole window)')
    .option('--limit <bytes>', 'of a text: predict so many, in windows spread over it (default: all)')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./eval.js')).evaluate(file, options));

  addRebuildOptions(program.command('sample').argument('<file>', 'an artifact of a model of texts'))
    .description('text from a model')
    .option('--prompt <text>', 'what it goes on from', '\n')
    .option('--length <bytes>', 'how much', '400')
    .option('--temperature <number>', '0 takes the likeliest byte always', '0.8')
    .option('--top-k <count>', 'only so many of the likeliest bytes', '256')
    .option('--seed <text>', 'seed of the random numbers', '1')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./sample.js')).sampleText(file, options));

  program
    .command('inspect')
    .argument('<file>', 'an artifact: a path, - or an http(s) URL')
    .description('what an artifact holds')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./inspect.js')).inspect(file, options));

  addRebuildOptions(program.command('replay').argument('<file>', 'an artifact: a path, - or an http(s) URL'))
    .description('rebuild weights, and write them packed')
    .option('--out <file>', 'where the packed artifact, or the tensor’s values, go; -: to standard output')
    .option('--force', FORCE_HELP, false)
    .option('--step <number>', 'the weights after this step of a seed log')
    .option(
      '--tensor <name>',
      'rebuild this tensor alone; --out takes its trits, five a byte, or its other values, one a byte',
    )
    .option('--rows <range>', 'of the tensor, these rows alone, counted from 0: 0-15')
    .option('--index', 'of a long log: keep FILE.index beside it, by which any step is found at once')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./replay.js')).replay(file, options));

  addRebuildOptions(program.command('verify').argument('<file>', 'an artifact: a path, - or an http(s) URL'))
    .description('check structure, checksums, and that the weights are those that were trained')
    .option('--retrain <steps>', 'recompute so many steps of a log from the data, or all of any kind')
    .option('--data <source>', 'for --retrain: mnist, or a folder of four IDX files')
    .option('--retrain-seed <text>', 'draws which steps are recomputed (default: other ones each time)')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./verify.js')).verify(file, options));

  addRebuildOptions(program.command('diff').argument('<a>', 'an artifact').argument('[b]', 'another'))
    .description('how many weights two artifacts, or two steps of a log, differ in')
    .option('--steps <range>', 'of one log: after which two steps, 100-200; 0 is before the first')
    .option('--index', 'of a long log: keep FILE.index beside it, by which any step is found at once')
    .option('--json', 'print one JSON object', false)
    .action(async (a, b, options) => (await import('./diff.js')).diff(a, b, options));

  program
    .command('log')
    .argument('<file>', 'a seed log, finished or not')
    .description('the steps of a seed log: loss, what was kept, bytes')
    .option('--steps <range>', 'these alone: 100-200')
    .option('--every <number>', 'one of so many')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./log.js')).log(file, options));

  addRebuildOptions(program.command('edit').argument('<file>', 'a seed log'))
    .description('write a new log without some steps, with some negated, or with some repeated')
    .option('--drop <range>', 'leave these steps out: 10-20; may be given again', collect)
    .option('--negate <range>', 'turn these steps round', collect)
    .option('--repeat <range>', 'have these steps twice, or as often as 10-20x3 says', collect)
    .requiredOption('--out <file>', 'where the new log goes; -: to standard output')
    .option('--force', FORCE_HELP, false)
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./edit.js')).edit(file, options));

  addRebuildOptions(program.command('concat').argument('<files...>', 'seed logs of one model and seed'))
    .description('write a new log of the steps of several')
    .requiredOption('--out <file>', 'where the new log goes; -: to standard output')
    .option('--force', FORCE_HELP, false)
    .option('--json', 'print one JSON object', false)
    .action(async (files, options) => (await import('./edit.js')).concat(files, options));

  addRebuildOptions(program.command('convert').argument('<file>', 'an artifact: a path, - or an http(s) URL'))
    .description('write the same weights in the smallest form, and say what each would cost')
    .option('--to <form>', 'auto, log, pool or packed', 'auto')
    .requiredOption('--out <file>', 'where it goes; -: to standard output')
    .option('--force', FORCE_HELP, false)
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./convert.js')).convert(file, options));

  addRebuildOptions(program.command('export').argument('<file>', 'an artifact: a path, - or an http(s) URL'))
    .description('write an artifact in another form')
    .requiredOption('--to <form>', 'packed, safetensors, json or, of a model of texts, gguf')
    .option(
      '--dtype <name>',
      'of safetensors: u8 (packed) or f32; of gguf: tq2_0, tq1_0 or f16 (default: the first)',
    )
    .requiredOption('--out <file>', 'where it goes; -: to standard output')
    .option('--force', FORCE_HELP, false)
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./export.js')).exportArtifact(file, options));

  const quantizers = argv.includes('import')
    ? (await import('../src/quantize/matrix.js')).MATRIX_QUANTIZER_NAMES
    : [];
  addBackendOptions(program.command('import').argument('<file>', 'a safetensors file'))
    .description('pack a chain of layers without biases, quantized where it is not already')
    .requiredOption('--out <file>', 'where the packed artifact goes; -: to standard output')
    .option('--force', FORCE_HELP, false)
    .option('--quantizer <name>', `${quantizers.join(', ')} (default: trits stay, else int8-row)`)
    .option(
      '--layout <name>',
      'what the two sizes of a matrix are, where the file leaves it open: outputs-inputs (PyTorch) or inputs-outputs (Keras, JAX)',
    )
    .option(
      '--layers <names>',
      'the layers from the inputs on, where the file leaves it open: fc1.weight,fc2.weight',
    )
    .option('--gain <number>', 'activation of a pre-activation of one mean absolute value')
    .option('--logit-scale <number>', 'exponent of the softmax per unit of a logit, in 2^-16')
    .option(
      '--centred <flag>',
      'whether normalization subtracts the mean (default: false, of an export as it was)',
    )
    .option('--data <source>', 'mnist, or a folder of four IDX files: evaluate, and choose what is not given')
    .option('--json', 'print one JSON object', false)
    .action(async (file, options) => (await import('./import.js')).importModel(file, options));

  program
    .command('env')
    .description('versions, cores, SIMD features and backends of this machine')
    .option('--json', 'print one JSON object', false)
    .action(async (options) => (await import('./env.js')).env(options));

  return program;
}

/** Runs the command line; returns the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await (await buildProgram(argv)).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE; // it has printed its message
    if (error instanceof Interrupted) {
      process.stderr.write(`${error.message}\n`);
      return error.exitCode;
    }
    if (error instanceof TernseedError) {
      process.stderr.write(`ternseed: ${error.message}\n`);
      return error.exitCode;
    }
    const { stack, message } = error instanceof Error ? error : new Error(printable(String(error)));
    process.stderr.write(`ternseed: a fault of ternseed itself: ${stack ?? message}\n`);
    return EXIT_FAULT;
  }
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0); // whoever read us has seen enough
  const { message, exitCode } = unusable('standard output', 'to take what is printed', error);
  process.stderr.write(`ternseed: ${message}\n`);
  process.exit(exitCode);
});
process.stderr.on('error', () => {}); // its terminal is gone: work goes on without anyone to tell of it
process.exitCode = await main(process.argv.slice(2));
