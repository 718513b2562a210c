/** `ternseed train text`: trains a transformer on a text, writes the artifact, and says what came out. */

import { availableParallelism } from 'node:os';
import { openArtifact, type Packed } from '../src/artifact/artifact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { evaluateText } from '../src/backend/evaluate-text.js';
import { openBackend } from '../src/backend/open.js';
import { openTensorflow, TENSORFLOW_BACKENDS, type TensorflowChoice } from '../src/backprop/tensorflow.js';
import { checkTextSteConfig, type TextSteConfig } from '../src/backprop/text-config.js';
import { loadText, type TextData } from '../src/data/text.js';
import { ConfigError, expected, printable, TargetError } from '../src/errors.js';
import type { Transformer } from '../src/ternary/transformer.js';
import { namesOfSettings, parseNumber, resolveConfig, TEXT_SETTINGS } from './config-options.js';
import { readBytes } from './files.js';
import { count, duration, percent, printResult, Progress, table } from './output.js';
import { type Figures, openMetrics, readStepLimits, runSteps } from './steps.js';
import type { TextRun } from './text-run.js';
import { methodOf } from './train.js';

export interface TrainTextOptions {
  readonly text: string;
  readonly method?: string;
  readonly out?: string;
  readonly resume?: string;
  readonly backend: string;
  readonly threads?: number;
  readonly minutes?: string;
  readonly metrics?: string;
  readonly saveEvery?: string;
  readonly budget?: string;
  readonly targetBpb?: string;
  readonly json: boolean;
}

/** Windows of text that are evaluated at once. */
const WINDOWS = 64;

/** Trains on a text. `options` also holds the settings, as text. */
export async function trainText(options: TrainTextOptions): Promise<void> {
  const { resume, backend: choice, threads } = options;
  if (resume !== undefined && options.out !== undefined) {
    throw new ConfigError('"--resume" goes on with the file it names: leave "--out" away');
  }
  if (!(TENSORFLOW_BACKENDS as readonly string[]).includes(choice)) {
    throw expected('--backend', `${TENSORFLOW_BACKENDS.join(', ')} for ste`, choice);
  }
  const limits = readStepLimits(options);
  const { target, budget } = readGoals(options);
  const settings = options as unknown as Record<string, string | undefined>;
  const fixed = namesOfSettings(TEXT_SETTINGS, settings);
  if (resume !== undefined && fixed.length > 0) {
    throw new ConfigError(`"--${fixed[0]}" is fixed in the run that "--resume" goes on with: leave it away`);
  }
  const out = resume ?? options.out ?? 'text.tern';
  const method = await methodOf(options, TEXT_SETTINGS.method);
  const config =
    resume === undefined
      ? ((await resolveConfig(TEXT_SETTINGS, method, settings)) as unknown as TextSteConfig)
      : null;
  if (config) checkTextSteConfig(config);
  const data = await loadText(options.text);
  const tensorflow = await openTensorflow(choice as TensorflowChoice);
  const progress = new Progress();
  try {
    const { TextRun } = await import('./text-run.js'); // loads TensorFlow.js, which is optional
    const cores = threads ?? availableParallelism();
    const run = config
      ? await TextRun.start(config, data, tensorflow, out, cores, budget)
      : await TextRun.resume(data, tensorflow, out, cores);
    try {
      const metrics = openMetrics(run, options.metrics);
      const figures = await runSteps(run, metrics, `text --text ${options.text}`, limits, progress);
      await report(run, figures, data, options, target, budget);
    } finally {
      run.close();
    }
  } finally {
    progress.clear();
    await tensorflow.close();
  }
}

/** Opens the file that was written, evaluates what it rebuilds to, and prints it. */
async function report(
  run: TextRun,
  { seconds, forwardPasses }: Figures,
  data: TextData,
  { text, threads, json }: TrainTextOptions,
  target: number | null,
  budget: number,
): Promise<void> {
  const artifact = openArtifact(await readBytes(run.out)) as Packed;
  const model = artifact.network as Transformer;
  const backend = await openBackend('auto', threads);
  try {
    const placed = await backend.placeText(model, { windows: WINDOWS });
    await placed.writeWeights(await rebuildVerified(artifact, backend));
    const score = await evaluateText(placed, data.validation, { windows: WINDOWS, stride: model.context });
    const extras = await run.extras(data.validation);
    const { parameters } = model;
    const bitsPerTrit = tritBits(artifact, model);
    const result = {
      ...{ artifact: run.out, kind: artifact.kind, bytes: artifact.bytes, ...score },
      ...{ loss: score.bitsPerByte * Math.LN2, steps: artifact.steps, seconds, forwardPasses },
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      ...{ seed: run.config.seed, backend: run.backend.name, weightsHash: artifact.weightsHash },
      ...{ model: run.modelName, parameters, bitsPerTrit },
      ...extras.json,
    };
    printResult(json, result, [
      `${printable(run.out)}: ${run.modelName}, ${count(artifact.steps)} steps in ${duration(seconds)}`,
      ...table([
        [
          'validation',
          `${score.bitsPerByte.toFixed(4)} bits a byte (${result.loss.toFixed(4)} nats), from the file as rebuilt`,
        ],
        ...extras.rows,
        ['likeliest byte right', `${percent(score.accuracy)} of ${count(score.examples)}`],
        ['artifact', `${count(artifact.bytes)} bytes, ${bitsPerTrit.toFixed(3)} bits a ternary weight`],
        ['weights hash', artifact.weightsHash],
      ]),
      `next: ternseed sample ${printable(run.out)} --prompt "The "`,
    ]);
    requireGoals(artifact.bytes, budget, score.bitsPerByte, target, text);
  } finally {
    await backend.close();
  }
}

/** Bits a ternary weight, with all that its matrix has beside it. */
function tritBits({ sections }: Packed, { tensors }: Transformer): number {
  let bytes = 0;
  let trits = 0;
  tensors.forEach(({ values, rows, columns }, i) => {
    if (values !== 'trit') return;
    const { offset, end } = sections[i + 1]; // the header is the first
    bytes += end - offset;
    trits += rows * columns;
  });
  return (8 * bytes) / trits;
}

function requireGoals(
  bytes: number,
  budget: number,
  bitsPerByte: number,
  target: number | null,
  text: string,
): void {
  if (bytes > budget) {
    throw new TargetError(
      `"--budget" expected at most ${budget} bytes, got ${bytes}, ${bytes - budget} too many`,
    );
  }
  if (target !== null && bitsPerByte > target) {
    throw new TargetError(
      `"--target-bpb" expected at most ${target} bits a byte of ${printable(text)}, got ${bitsPerByte.toFixed(4)}`,
    );
  }
}

function readGoals({ budget, targetBpb }: TrainTextOptions): { target: number | null; budget: number } {
  const goals = {
    target: targetBpb === undefined ? null : parseNumber('--target-bpb', targetBpb),
    budget: budget === undefined ? Number.POSITIVE_INFINITY : parseNumber('--budget', budget),
  };
  if (!(goals.budget >= 1)) throw expected('--budget', 'a number of bytes', budget);
  if (goals.target !== null && !(goals.target >= 0)) throw expected('--target-bpb', 'bits a byte', targetBpb);
  return goals;
}
