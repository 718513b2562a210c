/** Numbers on the command line: whatever is no number of the kind that an option takes is refused, and nothing is written. */

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluate } from '../cli/eval.js';
import { log } from '../cli/log.js';
import { replay } from '../cli/replay.js';
import { sampleText } from '../cli/sample.js';
import { trainExamples } from '../cli/train-examples.js';
import { trainText } from '../cli/train-text.js';
import { verify } from '../cli/verify.js';
import { encodePacked } from '../src/artifact/artifact.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { evaluateText } from '../src/backend/evaluate.js';
import { ConfigError } from '../src/errors.js';
import { transformerOf } from '../src/ternary/builders/transformer.js';
import { reference } from './support/backends.js';
import { cli } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import { tinyRun } from './support/tiny-runs.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-numbers-'));
  const model = transformerOf(SMALL_SHAPE);
  const values = randomValues(model, 5);
  const header = {
    ...{ kind: 'packed' as const, model: SMALL_SHAPE, key: '0'.repeat(16), cut: 0, directions: [] },
    ...{ config: { seed: '5' }, data: { name: 'none', hash: '0'.repeat(64) } },
  };
  const outcome = { steps: 0, weightsHash: await weightsHash(values, model.tensors) };
  await writeFile(at('text.tern'), encodePacked(header, values, outcome));
  await writeFile(at('log.tern'), (await tinyRun({ artifact: 'log' }, reference)).bytes);
  await writeFile(at('text'), randomText(1, 400));
  await writeTinyData(at('data'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const NO_NUMBERS = [
  '',
  ' ',
  'ten',
  'NaN',
  'Infinity',
  '-Infinity',
  '1e999',
  '0x10',
  '0b1',
  '1_0',
  '1,5',
  '--',
];
const NO_COUNTS = [...NO_NUMBERS, '2.5', '-1', '1e-1', '1e20'];

/** A verb with one option as it was typed; the rest is good. */
type Verb = (options: Record<string, string>) => Promise<unknown>;

const shared = { backend: 'reference' as const, json: true, force: true };
const sampling = { prompt: 'a', length: '4', temperature: '1', topK: '9', seed: '1' };
const VERBS: Record<string, Verb> = {
  eval: (options) => evaluate(at('text.tern'), { ...shared, data: at('text'), split: 'test', ...options }),
  sample: (options) => sampleText(at('text.tern'), { ...shared, ...sampling, ...options }),
  replay: (options) => replay(at('log.tern'), { ...shared, out: at('new'), ...options }),
  log: (options) => log(at('log.tern'), { json: true, ...options }),
  verify: (options) => verify(at('log.tern'), { ...shared, data: at('data'), ...options }),
  train: (options) => trainExamples('idx', { ...shared, data: at('data'), out: at('new'), ...options }),
  'train text': (options) =>
    trainText({ ...shared, backend: 'wasm', text: at('text'), out: at('new'), ...options }),
};

const CASES: [verb: string, option: string, refused: readonly string[]][] = [
  ['eval', 'stride', [...NO_COUNTS, '0', '17', '1.5']],
  ['sample', 'length', [...NO_COUNTS, '0', '1e7']],
  ['sample', 'topK', [...NO_COUNTS, '0', '257']],
  ['sample', 'temperature', [...NO_NUMBERS, '-0.1', '101']],
  ['replay', 'step', [...NO_COUNTS, '13']],
  ['log', 'every', [...NO_COUNTS, '0']],
  ['verify', 'retrain', [...NO_COUNTS, '0']],
  ['train', 'minutes', [...NO_NUMBERS, '-1', '0']],
  ['train', 'saveEvery', [...NO_NUMBERS, '-1']],
  ['train', 'targetAccuracy', [...NO_NUMBERS, '-0.1', '1.1']],
  ['train', 'steps', [...NO_COUNTS, '0']],
  ['train', 'batch', [...NO_COUNTS, '0']],
  ['train', 'learningRate', [...NO_NUMBERS, '-1', '0']],
  ['train text', 'budget', [...NO_COUNTS, '0']],
  ['train text', 'targetBpb', [...NO_NUMBERS, '-1']],
  ['train text', 'context', [...NO_COUNTS, '0', '1']],
];

describe.each(CASES)('%s, %s', (verb, option, refused) => {
  it.each(refused)('refuses %j, and says what it takes', async (text) => {
    const fault = await VERBS[verb]({ [option]: text }).then(
      () => 'none',
      (error: unknown) => error,
    );
    expect(fault).toBeInstanceOf(ConfigError);
    const kebab = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    expect((fault as Error).message).toMatch(
      new RegExp(`^"(--)?(${kebab}|${option}|step)" expected .*, got `),
    );
    expect((await readdir(folder)).filter((name) => name.startsWith('new'))).toEqual([]);
  });
});

it('what is written as a number is one: 1e1 is ten', async () => {
  const write = process.stdout.write;
  let printed = '';
  process.stdout.write = ((text: string) => (printed += text)) as unknown as typeof write;
  try {
    await VERBS.eval({ stride: '1e1' });
    expect(JSON.parse(printed)).toMatchObject({ stride: 10, examples: 39 });
  } finally {
    process.stdout.write = write;
  }
});

it.each(['0', '-1', '2.5', '1e1', 'NaN', '', '0x2'])('"--threads %s" is refused', async (text) => {
  const { code, stdout, stderr } = await cli([
    'eval',
    at('text.tern'),
    '--data',
    at('text'),
    '--threads',
    text,
  ]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('expected an integer in 1…');
});

describe('evaluateText', () => {
  it.each([
    [{ stride: 2.5 }, '"stride" expected an integer in 1…16, the context, got 2.5'],
    [{ stride: 0 }, '"stride" expected'],
    [{ stride: -1 }, '"stride" expected'],
    [{ stride: 17 }, '"stride" expected'],
    [{ stride: Number.NaN }, '"stride" expected'],
    [{ windows: 0 }, '"windows" expected a positive integer, got 0'],
    [{ windows: 1.5 }, '"windows" expected a positive integer, got 1.5'],
    [{ windows: Number.POSITIVE_INFINITY }, '"windows" expected a positive integer, got Infinity'],
  ])('refuses %o', async (change, message) => {
    const placed = await reference.place(transformerOf(SMALL_SHAPE), { batch: 2 });
    const options = { windows: 2, stride: 4, ...change };
    await expect(evaluateText(placed, randomText(1, 50), options)).rejects.toThrow(message);
  });

  it.each([0, 1])('refuses a text of %i bytes, of which none is predicted', async (length) => {
    const placed = await reference.place(transformerOf(SMALL_SHAPE), { batch: 2 });
    await expect(evaluateText(placed, new Uint8Array(length), { windows: 2, stride: 4 })).rejects.toThrow(
      `"text" expected at least 2 bytes, one of which is predicted, got ${length}`,
    );
  });
});
