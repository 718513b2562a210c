/** `ternseed train text`: trains a transformer on a text, writes the artifact, and says what came out. */

import { availableParallelism } from 'node:os';
import { type Artifact, isOfPerceptron, openArtifact, type Packed } from '../src/artifact/artifact.js';
import { evaluateText } from '../src/backend/evaluate.js';
import type { Backend } from '../src/backend/backend.js';
import { BACKEND_NAMES, type BackendChoice, openBackend } from '../src/backend/open.js';
import { openTensorflow, TENSORFLOW_BACKENDS, type TensorflowChoice } from '../src/backprop/tensorflow.js';
import { checkTextSteConfig, type TextSteConfig } from '../src/backprop/text-config.js';
import { BOOK, JUDGED_BYTES_MAX, type TextData } from '../src/data/text.js';
import { ConfigError, expected, printable, TargetError } from '../src/errors.js';
import { checkTextNoiseStepConfig, type TextNoiseStepConfig } from '../src/perturb/text-config.js';
import { SHAPE_KEYS, shapeOf, type Transformer } from '../src/ternary/transformer.js';
import { type BaseOptions, rebuildOnBase } from './bases.js';
import {
  namesOfSettings,
  parseInteger,
  parseNumber,
  resolveConfig,
  TEXT_SETTINGS,
} from './config-options.js';
import { noteName } from './data.js';
import type { Destination } from './destination.js';
import { inputName, readBytes, readPathOrUrl } from './files.js';
import { NoiseStepTextRun } from './noise-text-run.js';
import type { TrainedBase } from './noise-step-run.js';
import {
  count,
  duration,
  evaluated,
  percent,
  printResult,
  Progress,
  shellWord,
  shown,
  table,
} from './output.js';
import { type Figures, readStepLimits, runSteps } from './steps.js';
import type { Run, RunConfig } from './run.js';
import { isTextWorseThanUniform } from './score.js';
import { readText } from './texts.js';
import { destinationsOf, methodOf, resumeCommand } from './train.js';

export interface TrainTextOptions extends BaseOptions {
  readonly text: string;
  readonly method?: string;
  readonly out?: string;
  readonly force: boolean;
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

type TextRun = Run<RunConfig, Uint8Array>;

/** A run that is ready, and where the integer model that comes out is evaluated. */
interface Started {
  readonly run: TextRun;
  integers(): Promise<Backend>;
  close(): Promise<void>;
}

/** Trains on a text. `options` also holds the settings, as text. */
export async function trainText(options: TrainTextOptions): Promise<void> {
  const { resume } = options;
  if (resume !== undefined && options.out !== undefined) {
    throw new ConfigError('"--resume" goes on with the file it names: leave "--out" out');
  }
  noteName(options.text);
  const limits = readStepLimits(options);
  const { target, budget } = readGoals(options);
  const settings = options as unknown as Record<string, string | undefined>;
  const fixed = namesOfSettings(TEXT_SETTINGS, settings);
  if (resume !== undefined && fixed.length > 0) {
    throw new ConfigError(`"--${fixed[0]}" is fixed in the run that "--resume" goes on with: leave it away`);
  }
  const inputs = inputsOf(options);
  const { out, metrics } = destinationsOf(options, 'text', inputs);
  const home = out.workplace('text.tern');
  const method = await methodOf(options, home, options.base ? 'noise-step' : TEXT_SETTINGS.method);
  if (options.base && method === 'ste') throw new ConfigError('"--base" is for noise-step: leave it away');
  const over = options.base && resume === undefined ? await shapeOfBase(options.base[0]) : {};
  const preset = options.base ? 'tune' : 'default';
  const config =
    resume === undefined
      ? (await resolveConfig(TEXT_SETTINGS, method, { ...settings, preset: settings.preset ?? preset }, over))
          .config
      : null;
  const start = method === 'ste' ? startSte : startNoiseStep;
  const data = await readText(options.text);
  const { run, integers, close } = await start(config, data, home, options, budget, out);
  const progress = new Progress();
  try {
    const again = resumeCommand(['text', '--text', options.text], options, run.out);
    const figures = await runSteps(run, { limits, out, metrics, resume: again, progress });
    const remarks = metrics?.isStdout ? process.stderr : out.remarks;
    await report(run, figures, data, out, options, target, budget, await integers(), remarks);
  } finally {
    progress.clear();
    run.close();
    await close();
  }
}

/** All files that a run reads. */
function inputsOf(options: TrainTextOptions): string[] {
  const { text, base = [] } = options;
  const { config } = options as { config?: string };
  return [...base, ...(config === undefined ? [] : [config]), ...(text === BOOK ? [] : [text])];
}

async function startNoiseStep(
  config: Record<string, unknown> | null,
  data: TextData,
  home: string,
  { backend: choice, threads, base: named = [] }: TrainTextOptions,
  budget: number,
  out: Destination,
): Promise<Started> {
  if (!(BACKEND_NAMES as readonly string[]).includes(choice)) {
    throw expected('--backend', `${BACKEND_NAMES.join(', ')} for noise-step`, choice);
  }
  const settings = config as unknown as TextNoiseStepConfig | null;
  if (settings) checkTextNoiseStepConfig(settings);
  const backend = await openBackend(choice as BackendChoice, threads);
  try {
    const run = settings
      ? await NoiseStepTextRun.start(
          settings,
          data,
          backend,
          home,
          await trainedBase(settings, named, backend, out),
          budget,
        )
      : await NoiseStepTextRun.resume(data, backend, home, named);
    return { run, integers: async () => backend, close: () => backend.close() };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

async function startSte(
  config: Record<string, unknown> | null,
  data: TextData,
  home: string,
  { backend: choice, threads }: TrainTextOptions,
  budget: number,
): Promise<Started> {
  if (!(TENSORFLOW_BACKENDS as readonly string[]).includes(choice)) {
    throw expected('--backend', `${TENSORFLOW_BACKENDS.join(', ')} for ste`, choice);
  }
  const settings = config as unknown as TextSteConfig | null;
  if (settings) checkTextSteConfig(settings);
  const tensorflow = await openTensorflow(choice as TensorflowChoice);
  let integers: Backend | null = null;
  const close = async () => {
    await integers?.close();
    await tensorflow.close();
  };
  try {
    const { ofText, SteRun } = await import('./ste-run.js'); // loads TensorFlow.js, which is optional
    const place = {
      ...{ backend: tensorflow, out: home, budgetBytes: budget },
      threads: threads ?? availableParallelism(),
    };
    const run = settings
      ? await SteRun.start(settings, ofText(data), place)
      : await SteRun.resume(ofText(data), place);
    return { run, integers: async () => (integers ??= await openBackend('auto', threads)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The shape of the artifact that a delta is trained on. */
async function shapeOfBase(path: string): Promise<Record<string, unknown>> {
  return { ...shapeOf(transformerOfArtifact(openArtifact(await readPathOrUrl(path)))) };
}

/** The first of the files that `--base` names; the others are for its own bases. */
async function trainedBase(
  config: TextNoiseStepConfig,
  [path, ...others]: readonly string[],
  backend: Backend,
  out: Destination,
): Promise<TrainedBase | null> {
  if (path === undefined) return null;
  const artifact = openArtifact(await readPathOrUrl(path));
  const shape = shapeOf(transformerOfArtifact(artifact));
  for (const key of SHAPE_KEYS) {
    if (config[key] !== shape[key]) throw expected(key, `${shape[key]}, as the base has`, config[key]);
  }
  const weights = await rebuildOnBase(artifact, path, { base: others }, backend, out);
  return { weights, header: { name: inputName(path), hash: artifact.weightsHash } };
}

function transformerOfArtifact(artifact: Artifact): Transformer {
  if (!isOfPerceptron(artifact)) return artifact.network as Transformer;
  throw new ConfigError(`"--base" expected a transformer, got the perceptron ${artifact.header.model}`);
}

/** Opens what was written, evaluates what it rebuilds to, and prints it. */
async function report(
  run: TextRun,
  { seconds, forwardPasses, artifact: bytes }: Figures,
  { validation }: TextData,
  out: Destination,
  options: TrainTextOptions,
  target: number | null,
  budget: number,
  backend: Backend,
  remarks: NodeJS.WritableStream,
): Promise<void> {
  const { text, json } = options;
  const artifact = openArtifact(bytes ?? (await readBytes(run.out))) as Packed;
  const model = artifact.network as Transformer;
  const placed = await backend.place(model, { batch: WINDOWS });
  const weights = await rebuildOnBase(artifact, run.out, options, backend);
  await placed.writeWeights(weights);
  const judged = { windows: WINDOWS, stride: model.context, most: JUDGED_BYTES_MAX };
  const score = await shown('evaluating', 'bytes', (watch) =>
    evaluateText(placed, validation, { ...judged, watch }),
  );
  const extras = await shown('the trainer evaluates', 'bytes', (watch) => run.extras(validation, watch));
  const worseThanUniform = isTextWorseThanUniform(score.bitsPerByte);
  const { parameters } = model;
  const bitsPerTrit = tritBits(artifact, model);
  const result = {
    ...{ artifact: out.name, kind: artifact.kind, bytes: artifact.bytes, ...score, worseThanUniform },
    ...{ loss: score.bitsPerByte * Math.LN2, steps: artifact.steps, seconds, forwardPasses },
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    ...{ seed: run.config.seed, backend: run.backend.name, weightsHash: artifact.weightsHash },
    ...{ model: run.modelName, parameters, bitsPerTrit },
    ...extras.json,
  };
  const lines = [
    `${printable(out.name)}: ${run.modelName}, ${count(artifact.steps)} steps in ${duration(seconds)}`,
    ...table([
      [
        'validation',
        `${score.bitsPerByte.toFixed(4)} bits a byte (${result.loss.toFixed(4)} nats) over ${evaluated(score)}, from the file as rebuilt`,
      ],
      ...extras.rows,
      ['likeliest byte right', `${percent(score.accuracy)} of ${count(score.examples)}`],
      [
        'artifact',
        `${count(artifact.bytes)} bytes, ${artifact.header.base ? 'beside its base' : `${bitsPerTrit.toFixed(3)} bits a ternary weight`}`,
      ],
      ['weights hash', artifact.weightsHash],
    ]),
    ...(out.path === null ? [] : [`next: ternseed sample ${printable(shellWord(out.name))} --prompt "The "`]),
  ];
  printResult(json, result, lines, remarks);
  requireGoals(artifact.bytes, budget, score.bitsPerByte, target, text);
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
    budget:
      budget === undefined
        ? Number.POSITIVE_INFINITY
        : parseInteger('--budget', budget, 1, undefined, 'a number of bytes'),
  };
  if (goals.target !== null && !(goals.target >= 0)) throw expected('--target-bpb', 'bits a byte', targetBpb);
  return goals;
}
