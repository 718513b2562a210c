/** `ternseed eval FILE --data …`: how good the model is that an artifact rebuilds to. */

import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import type { Backend } from '../src/backend/backend.js';
import { evaluateExamples, evaluateText } from '../src/backend/evaluate.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, expected } from '../src/errors.js';
import { type BaseOptions, rebuildOnBase } from './bases.js';
import { parseInteger } from './config-options.js';
import { isTrainedOn, openData, readingOf } from './data.js';
import { readPathOrUrl, requireOneStdin } from './files.js';
import { readText } from './texts.js';
import { count, evaluated, percent, printResult, shown, table } from './output.js';
import { isWorseThanUniform, isTextWorseThanUniform } from './score.js';

export interface EvalOptions extends BaseOptions {
  readonly data: string;
  readonly split: string;
  readonly stride?: string;
  readonly limit?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

/** What is measured of one kind of model, for people and for programs. */
interface Measured {
  readonly dataName: string;
  readonly json: object;
  readonly lines: readonly (readonly [label: string, value: string])[];
}

/** Windows of text that are evaluated at once. */
const WINDOWS = 64;

export async function evaluate(file: string, options: EvalOptions): Promise<void> {
  const { split } = options;
  if (split !== 'test' && split !== 'train') throw expected('--split', 'test or train', split);
  requireOneStdin([file, options.data, ...(options.base ?? [])]);
  const artifact = openArtifact(await readPathOrUrl(file));
  const backend = await openBackend(options.backend, options.threads);
  try {
    const started = performance.now();
    const evaluateOn = artifact.network.rows === 'examples' ? onExamples : onText;
    const measured = await evaluateOn(artifact, file, options, backend);
    const seconds = (performance.now() - started) / 1000;
    const { weightsHash } = artifact;
    printResult(options.json, { ...measured.json, weightsHash, seconds, backend: backend.name, split }, [
      `${file} on ${measured.dataName}, ${split} split`,
      ...table([
        ...measured.lines,
        ['weights hash', weightsHash],
        ['time', `${seconds.toFixed(2)} s (${backend.summary})`],
      ]),
    ]);
  } finally {
    await backend.close();
  }
}

async function onExamples(
  artifact: Artifact,
  file: string,
  options: EvalOptions,
  backend: Backend,
): Promise<Measured> {
  for (const name of ['stride', 'limit'] as const) {
    if (options[name] !== undefined) throw new ConfigError(`"--${name}" is for texts: leave it out`);
  }
  const data = await openData(options.data, readingOf(artifact.header));
  const examples = data[options.split as 'test' | 'train'];
  const trainedOn = isTrainedOn(artifact.header, data, file);
  const placed = await backend.place(artifact.network, { batch: 1000 });
  await placed.writeWeights(await rebuildOnBase(artifact, file, options, backend));
  const score = await shown('evaluating', 'examples', (watch) => evaluateExamples(placed, examples, watch));
  return {
    dataName: data.name,
    json: { ...score, trainedOn, worseThanUniform: isWorseThanUniform(score, examples.labels) },
    lines: [
      ['accuracy', `${percent(score.accuracy)} of ${count(score.examples)}`],
      ['loss', `${score.loss.toFixed(4)} nats`],
    ],
  };
}

async function onText(
  artifact: Artifact,
  file: string,
  options: EvalOptions,
  backend: Backend,
): Promise<Measured> {
  const model = artifact.network;
  const what = `an integer in 1…${model.context}, the context`;
  const stride =
    options.stride === undefined
      ? model.context
      : parseInteger('--stride', options.stride, 1, model.context, what);
  const most =
    options.limit === undefined
      ? undefined
      : parseInteger(
          '--limit',
          options.limit,
          model.context,
          undefined,
          `a number of bytes from ${model.context}, the context, on`,
        );
  const text = await readText(options.data);
  const trainedOn = isTrainedOn(artifact.header, text, file);
  const placed = await backend.place(model, { batch: WINDOWS });
  await placed.writeWeights(await rebuildOnBase(artifact, file, options, backend));
  const part = options.split === 'train' ? text.train : text.validation;
  const score = await shown('evaluating', 'bytes', (watch) =>
    evaluateText(placed, part, { windows: WINDOWS, stride, most, watch }),
  );
  const loss = score.bitsPerByte * Math.LN2;
  return {
    dataName: text.name,
    json: { ...score, loss, stride, trainedOn, worseThanUniform: isTextWorseThanUniform(score.bitsPerByte) },
    lines: [
      ['bits a byte', `${score.bitsPerByte.toFixed(4)} (${loss.toFixed(4)} nats) over ${evaluated(score)}`],
      ['windows', `${model.context} bytes${stride === model.context ? '' : `, every ${stride}`}`],
      ['likeliest byte right', percent(score.accuracy)],
    ],
  };
}
