/** `ternseed train text`: a text to train on, and what is said of a model of texts. */

import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { evaluateText } from '../src/backend/evaluate.js';
import { checkTextSteConfig, type TextSteConfig } from '../src/backprop/text-config.js';
import { BOOK, JUDGED_BYTES_MAX, type TextData } from '../src/data/text.js';
import { ConfigError, expected, printable, TargetError } from '../src/errors.js';
import { checkTextNoiseStepConfig, type TextNoiseStepConfig } from '../src/perturb/config.js';
import { rebuildOnBase } from './bases.js';
import { costLines, costsOf } from './convert.js';
import { parseInteger, parseNumber, TEXT_SETTINGS } from './config-options.js';
import { readBytes } from './files.js';
import { ofText } from './noise-step.js';
import { count, duration, evaluated, percent, printResult, shellWord, shown, table } from './output.js';
import { isTextWorseThanUniform } from './score.js';
import { readText } from './texts.js';
import { train, type Trained, type TrainOptions, type TrainSource } from './train.js';

export interface TrainTextOptions extends TrainOptions {
  readonly text: string;
  readonly budget?: string;
  readonly targetBpb?: string;
}

/** Windows of text that are evaluated at once. */
const WINDOWS = 64;

/** What a run shall come to. */
interface Goals {
  readonly target: number | null;
  readonly budget: number;
}

/** Trains on a text. `options` also holds the settings, as text. */
export async function trainText(options: TrainTextOptions): Promise<void> {
  const { text } = options;
  const goals = readGoals(options);
  const source: TrainSource<TextData, Uint8Array, TextNoiseStepConfig, TextSteConfig> = {
    name: 'text',
    words: ['text', '--text', text],
    settings: TEXT_SETTINGS,
    presetOf(artifact, isDelta) {
      if (isDelta) return 'tune';
      return artifact === 'log' || artifact === 'pool' ? artifact : 'default';
    },
    files: text === BOOK ? [] : [text],
    budgetBytes: goals.budget,
    settingsOfBase({ network: { rows, name, description } }) {
      if (rows === 'positions') return description.model as Record<string, unknown>;
      throw new ConfigError(`"--base" expected a model of texts, got ${name}`);
    },
    load: () => readText(text),
    fitted: (config) => config,
    checks: { noiseStep: checkTextNoiseStepConfig, ste: checkTextSteConfig },
    noiseStep: ofText,
    ste: async (...place) => (await import('./ste.js')).ofText(...place),
    productsOf: () => Number.NaN,
    report: (trained) => report(trained, options, goals),
  };
  await train(source, options);
}

/** Opens what was written, evaluates what it rebuilds to, and prints it. */
async function report(
  { run, figures, data: { validation }, out, backend, forms, remarks }: Trained<TextData, Uint8Array>,
  options: TrainTextOptions,
  { target, budget }: Goals,
): Promise<void> {
  const { seconds, forwardPasses, artifact: bytes } = figures;
  const { text, json } = options;
  const artifact = openArtifact(bytes ?? (await readBytes(run.out)));
  const model = artifact.network;
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
  const bitsPerTrit = tritBits(artifact);
  const result = {
    ...{ artifact: out.name, kind: artifact.kind, bytes: artifact.bytes, ...score, worseThanUniform },
    ...{ loss: score.bitsPerByte * Math.LN2, steps: artifact.steps, seconds, forwardPasses },
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    ...{ seed: run.config.seed, backend: run.backend.name, weightsHash: artifact.weightsHash },
    ...{ model: run.modelName, parameters, bitsPerTrit },
    ...(forms.length > 0 && { forms: costsOf(forms) }),
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
        [
          `${count(artifact.bytes)} bytes`,
          ...(artifact.header.base ? ['beside its base'] : []),
          ...(bitsPerTrit === null || artifact.header.base
            ? []
            : [`${bitsPerTrit.toFixed(3)} bits a ternary weight`]),
        ].join(', '),
      ],
      ...costLines(forms).map(([kind, cost]): [string, string] => [`  as ${kind}`, cost]),
      ['weights hash', artifact.weightsHash],
    ]),
    ...(out.path === null ? [] : [`next: ternseed sample ${printable(shellWord(out.name))} --prompt "The "`]),
  ];
  printResult(json, result, lines, remarks);
  requireGoals(artifact.bytes, budget, score.bitsPerByte, target, text);
}

/** Bits a ternary weight, with all that its matrix has beside it. */
function tritBits({ kind, sections, network: { tensors } }: Artifact): number | null {
  if (kind !== 'packed') return null;
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

function readGoals({ budget, targetBpb }: TrainTextOptions): Goals {
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
