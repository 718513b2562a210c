/**
 * What a file of real matrices leaves open: which size of a matrix is inputs, and which layer comes first. Whatever
 * decides is believed in one order, and what nothing decides is refused with the name of the setting.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { loadIdxDirectory, type Dataset } from '../src/data/dataset.js';
import { ConfigError, InputError } from '../src/errors.js';
import { type ImportOptions, importSafetensors } from '../src/exchange/import-safetensors.js';
import type { RealModel } from '../src/exchange/real-layers.js';
import { cli, cliJson } from './support/cli.js';
import { type FloatLayer, predict, trainFloatMlp } from './support/float-mlp.js';
import { rawSafetensors } from './support/safetensors-files.js';
import { concat } from './support/sections.js';
import { writeTinyData } from './support/tiny-data.js';

type Named = readonly [name: string, shape: readonly number[], values?: ArrayLike<number> | number];

/** A file of float32 tensors in this order; all values 1 unless they are said. */
function file(format: string | null, ...tensors: readonly Named[]): Uint8Array {
  const header: Record<string, unknown> = format === null ? {} : { __metadata__: { format } };
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [name, shape, values = 1] of tensors) {
    const size = shape.reduce((product, one) => product * one, 1);
    const numbers =
      typeof values === 'number' ? new Array<number>(size).fill(values) : [...Array.from(values)];
    parts.push(new Uint8Array(Float32Array.from(numbers).buffer));
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + 4 * size] };
    at += 4 * size;
  }
  return rawSafetensors(header, concat(...parts));
}

async function read(bytes: Uint8Array, options?: ImportOptions): Promise<RealModel> {
  const model = await importSafetensors(bytes, options);
  if (model.kind !== 'real') throw new Error('an export');
  return model;
}

const square = (...names: string[]): Named[] => names.map((name) => [name, [4, 4]]);

describe('the layout of a matrix', () => {
  it.each([
    ['pt', 'outputs-inputs'],
    ['mlx', 'outputs-inputs'],
    ['tf', 'inputs-outputs'],
    ['keras', 'inputs-outputs'],
    ['flax', 'inputs-outputs'],
  ])('is that of %s', async (format, layout) => {
    const { layers, reading } = await read(file(format, ['w', [2, 2], [1, 2, 3, 4]]));
    expect(reading).toMatchObject({ layout, layoutBy: 'metadata' });
    expect([...layers[0].weights]).toEqual(layout === 'outputs-inputs' ? [1, 2, 3, 4] : [1, 3, 2, 4]);
  });

  it('is seen where one alone leads from the inputs of the data to its classes', async () => {
    const kernels = file(null, ['dense/kernel', [6, 3], [...Array(18).keys()]], ['dense_1/kernel', [3, 2]]);
    const model = await read(kernels, { fits: { inputs: 6, classes: 2 } });
    expect(model.reading).toMatchObject({ layout: 'inputs-outputs', layoutBy: 'shapes' });
    expect(model.widths).toEqual([6, 3, 2]);
    expect([...model.layers[0].weights.subarray(0, 6)]).toEqual([0, 3, 6, 9, 12, 15]); // a column of the kernel
  });

  it('is seen from the order of the names, and from the length of biases of zeros', async () => {
    const numbered = await read(file(null, ['fc1', [6, 3]], ['fc2', [3, 2]]));
    expect(numbered.reading).toMatchObject({
      ...{ layout: 'inputs-outputs', layoutBy: 'numbers in the names', layers: ['fc1', 'fc2'] },
    });
    const biased = await read(file(null, ['out.weight', [6, 3]], ['out.bias', [6], 0]));
    expect(biased).toMatchObject({ widths: [3, 6], notes: ['left out, biases of zeros: out.bias'] });
    expect((await read(file(null, ['out.weight', [6, 3]], ['out.bias', [3], 0]))).widths).toEqual([6, 3]);
  });

  it('that nothing decides is asked for', async () => {
    for (const bytes of [
      file(null, ['w', [4, 4]]),
      file(null, ['w', [4, 6]]),
      file('np', ...square('fc1.weight', 'fc2.weight')),
      file(null, ...square('dense/kernel', 'dense_1/kernel')),
    ]) {
      const refused = expect(read(bytes)).rejects;
      await refused.toThrow(
        '"layout" expected outputs-inputs (PyTorch) or inputs-outputs (Keras, TensorFlow, JAX)',
      );
      await expect(read(bytes)).rejects.toThrow(InputError);
    }
    for (const layout of ['outputs-inputs', 'inputs-outputs'] as const) {
      expect((await read(file(null, ['w', [4, 6]]), { layout })).reading).toEqual({
        ...{ layout, layoutBy: 'setting', layers: ['w'], layersBy: 'shapes' },
      });
    }
  });

  it('is refused where metadata say another one than shapes, numbers or names', async () => {
    const kernels = file('pt', ['dense/kernel', [6, 3]], ['dense_1/kernel', [3, 2]]);
    await expect(read(kernels, { fits: { inputs: 6, classes: 2 } })).rejects.toThrow(
      /"format": "pt", whose matrices are \[outputs, inputs\], but they follow one another from 6 inputs to 2 classes or more only as \[inputs, outputs\]: "layout" inputs-outputs takes them so; got dense\/kernel \[6,3\]/,
    );
    await expect(read(kernels)).rejects.toThrow(
      /numbers in their names only as \[inputs, outputs\], but .* "pt"/,
    );
    await expect(read(file('pt', ...square('a.kernel')))).rejects.toThrow(/"pt".*called kernels/);
    const model = await read(kernels, { layout: 'inputs-outputs' });
    expect(model.widths).toEqual([6, 3, 2]);
  });
});

describe('the order of the layers', () => {
  const orderOf = async (names: readonly string[]) =>
    (await read(file('pt', ...square(...names)))).reading.layers;

  it.each([
    [
      ['layer10.weight', 'layer2.weight', 'layer1.weight'],
      ['layer1.weight', 'layer2.weight', 'layer10.weight'],
    ],
    [
      ['l10', 'l02', 'l1'],
      ['l1', 'l02', 'l10'],
    ],
    [
      ['dense_2/kernel:0', 'dense_1/kernel:0', 'dense/kernel:0'],
      ['dense/kernel:0', 'dense_1/kernel:0', 'dense_2/kernel:0'],
    ],
    [
      ['fc3.weight', 'fc.weight', 'fc2.weight'],
      ['fc.weight', 'fc2.weight', 'fc3.weight'],
    ],
    [
      ['b.1.x', 'b.0.y', 'b.2.a'],
      ['b.0.y', 'b.1.x', 'b.2.a'],
    ],
    [
      ['m.1.fc2.weight', 'm.0.fc2.weight', 'm.1.fc1.weight', 'm.0.fc1.weight'],
      ['m.0.fc1.weight', 'm.0.fc2.weight', 'm.1.fc1.weight', 'm.1.fc2.weight'],
    ],
  ])('is that of the numbers in the names: %j', async (names, order) => {
    const format = names[0].includes('kernel') ? 'tf' : 'pt';
    const { reading } = await read(file(format, ...square(...names)));
    expect(reading).toMatchObject({ layers: order, layersBy: 'numbers in the names' });
  });

  it('is that of the shapes where one alone chains, whatever the names and the file say', async () => {
    const { widths, reading } = await read(
      file('pt', ['a', [5, 3]], ['B', [3, 9]], ['z', [7, 5]], ['c', [2, 7]]),
    );
    expect(widths).toEqual([9, 3, 5, 7, 2]);
    expect(reading).toMatchObject({ layers: ['B', 'a', 'z', 'c'], layersBy: 'shapes' });
    const backwards = await read(file('pt', ['fc1', [2, 3]], ['fc2', [3, 300]]));
    expect(backwards.widths).toEqual([300, 3, 2]);
  });

  it.each([
    [['stem', 'down', 'mid']],
    [['first.weight', 'second.weight', 'third.weight']], // writers sort by name: the file's order says nothing
    [['a.weight', 'B.weight', 'c.weight']],
    [['fc1.weight', 'fc2.weight', 'out.weight']],
    [['fc.weight', 'fc1.weight']], // the first, as in Keras, or the last
    [['w_4_4', 'w_4_4_again']],
    [['block.up', 'block.down']],
  ])('that nothing decides is asked for: %j', async (names) => {
    const refused = new RegExp(
      `"layers" expected their names in order, got none; .*; in the order of the file that is "layers" ${names.join()}`,
    );
    await expect(orderOf(names)).rejects.toThrow(refused);
    const layers = [...names].reverse();
    const { reading } = await read(file('pt', ...square(...names)), { layers });
    expect(reading).toMatchObject({ layers, layersBy: 'setting' });
  });

  it('counts no numbers that are sizes', async () => {
    const named: Named[] = [
      ['w_9_5', [5, 9]],
      ['w_5_3', [3, 5]],
    ];
    await expect(read(file(null, ...named))).rejects.toThrow('"layout" expected');
    expect((await read(file('pt', ...named))).widths).toEqual([9, 5, 3]);
  });

  it('is taken from a caller, who may leave matrices out', async () => {
    const ema = file('pt', ['fc1', [3, 9]], ['fc2', [2, 3]], ['ema.fc1', [3, 9]], ['ema.fc2', [2, 3]]);
    await expect(read(ema)).rejects.toThrow(/follow one another.*"layers" takes some of them/);
    const model = await read(ema, { layers: ['ema.fc1', 'ema.fc2'] });
    expect(model.widths).toEqual([9, 3, 2]);
    expect(model.notes).toEqual(['left out, not among the layers that were named: fc1, fc2']);
    for (const layers of [['fc1', 'none'], ['fc1', 'fc1'], [''], ['fc1', 'fc2', 'ema.fc1']]) {
      await expect(read(ema, { layers })).rejects.toThrow(ConfigError);
    }
  });

  it('is found or refused in no time, however many there are', async () => {
    const names = Array.from({ length: 64 }, (_, i) =>
      `${String.fromCharCode(97 + (i % 26))}x`.repeat(i + 1),
    );
    await expect(orderOf(names)).rejects.toThrow('"layers" expected');
    // Two rings of widths that hang together at one: most paths miss the half of them.
    const rings: Named[] = Array.from({ length: 64 }, (_, i) => [names[i], [2 + (i % 3), 2 + ((i * 7) % 5)]]);
    await expect(read(file('pt', ...rings))).rejects.toThrow(InputError);
  });

  test('any matrices in any order give the widths they chain by, or an InputError', async () => {
    const widths = fc.array(fc.integer({ min: 2, max: 5 }), { minLength: 2, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(widths, fc.boolean(), fc.infiniteStream(fc.nat()), async (sizes, kernels, random) => {
        const chained = sizes.slice(1).map((outputs, i): Named => {
          const shape = kernels ? [sizes[i], outputs] : [outputs, sizes[i]];
          return [`layer${i}`, shape, Array.from({ length: outputs * sizes[i] }, (_, k) => i + k / 64 + 1)];
        });
        const shuffled = chained.map((one) => [one, random.next().value as number] as const);
        shuffled.sort(([, a], [, b]) => a - b);
        const model = await read(file(kernels ? 'tf' : 'pt', ...shuffled.map(([one]) => one)));
        // Numbers in the names say the one order, whatever else chains.
        expect(model.widths).toEqual(sizes);
        expect(model.layers.map(({ weights }) => Math.floor(weights[0]))).toEqual(
          chained.map((_, i) => i + 1),
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe('what is no layer', () => {
  const layers: Named[] = [
    ['fc1.weight', [3, 9]],
    ['fc2.weight', [2, 3]],
  ];

  it('is left out with a word where it says nothing', async () => {
    const { notes, widths } = await read(
      file(
        'pt',
        ['unused', [0]],
        ['none', [0, 9]],
        ...layers,
        ['fc1.bias', [3], 0],
        ['optimizer.exp_avg.fc1.weight', [3, 9]],
        ['optim.step.fc1', [], 5],
      ),
    );
    expect(widths).toEqual([9, 3, 2]);
    expect(notes).toEqual([
      'left out, empty: unused, none',
      'left out, state of an optimizer: optimizer.exp_avg.fc1.weight, optim.step.fc1',
      'left out, biases of zeros: fc1.bias',
    ]);
  });

  it.each<[string, Named, RegExp]>([
    ['a bias', ['fc2.bias', [2], 0.5], /"fc2.bias".* got a bias that is not 0/],
    ['a bias as a row', ['fc2.bias', [1, 2], 0.5], /a bias that is not 0/],
    [
      'a bias of another length',
      ['fc2.bias', [5], 0],
      /expected as many biases as fc2.weight \[2,3\] has outputs, got 5/,
    ],
    ['a norm', ['norm.weight', [3]], /"norm.weight".*a part of a normalization/],
    ['running statistics', ['bn.running_mean', [3], 0], /a part of a normalization/],
    ['a vector', ['alpha', [3]], /"alpha".*a vector/],
    ['a number', ['temperature', []], /"temperature".*a single number/],
    ['a convolution', ['conv.weight', [4, 1, 3, 3]], /"conv.weight".*4 dimensions, as convolutions/],
    ['an embedding', ['tok_embeddings.weight', [9, 9]], /an embedding, by its name: "layers" takes it/],
    ['attention', ['attn.q_proj.weight', [9, 9]], /a part of attention/],
    ['a recurrent layer', ['rnn.weight_hh_l0', [3, 3]], /a part of a recurrent layer/],
    ['zeros', ['fc0.weight', [9, 9], 0], /"fc0.weight" at byte \d+: expected weights that are not all 0/],
  ])('is refused by name: %s', async (_, tensor, reason) => {
    await expect(read(file('pt', ...layers, tensor))).rejects.toThrow(reason);
    await expect(read(file('pt', ...layers, tensor))).rejects.toThrow(InputError);
  });

  it('does not matter in numbers beyond float32', async () => {
    for (const size of [1e300, 1e-300, 5e-324 * 2 ** 20]) {
      const bytes = new Uint8Array(Float64Array.of(size, -size / 2, 0, size / 4).buffer);
      const header = { w: { dtype: 'F64', shape: [2, 2], data_offsets: [0, 32] } };
      const { layers: made } = await read(
        rawSafetensors({ __metadata__: { format: 'pt' }, ...header }, bytes),
      );
      const [{ weights }] = made;
      expect([...weights].map((weight) => weight / weights[0])).toEqual([1, -0.5, 0, 0.25]);
    }
  });
});

describe('ternseed import', () => {
  let folder: string;
  let data: Dataset;
  let layers: FloatLayer[];
  const at = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-readings-'));
    await writeTinyData(at('tiny'));
    data = await loadIdxDirectory(at('tiny'));
    layers = trainFloatMlp([36, 36, 36], data.train, 4);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Matrices as they are, or each as Keras has it. */
  const written = (format: string | null, names: readonly string[], kernels: boolean) =>
    file(
      format,
      ...layers.map(({ rows, columns, weights }, i): Named => {
        const turned = weights.map((_, k) => weights[(k % rows) * columns + Math.floor(k / rows)]);
        return [names[i], [rows, columns], kernels ? turned : weights];
      }),
    );

  it('takes square kernels as their metadata say, and prints how', async () => {
    const right =
      predict(layers, data.test).filter((guess, i) => guess === data.test.labels[i]).length / data.test.count;
    expect(right).toBeGreaterThan(0.85);
    await writeFile(at('tf.safetensors'), written('tf', ['dense/kernel', 'dense_1/kernel'], true));
    const base = ['import', at('tf.safetensors'), '--data', at('tiny'), '--out', at('tf.tern')];
    const told = await cliJson(base);
    expect(told.accuracy).toBeGreaterThan(right - 0.03);
    expect(told).toMatchObject({
      reading: {
        ...{ layout: 'inputs-outputs', layoutBy: 'metadata', layersBy: 'numbers in the names' },
        ...{ layers: ['dense/kernel', 'dense_1/kernel'], quantizers: ['int8-row', 'int8-row'] },
      },
      notes: [],
    });
    expect(await cliJson(['inspect', at('tf.tern')])).toMatchObject({
      config: { layout: 'inputs-outputs', tensors: ['dense/kernel', 'dense_1/kernel'] },
    });
  });

  it('refuses what could be taken either way with code 3, and takes what is said', async () => {
    await writeFile(at('open.safetensors'), written(null, ['stem', 'head'], true));
    const base = ['import', at('open.safetensors'), '--data', at('tiny'), '--out', at('open.tern')];
    const first = await cli(base);
    expect(first).toMatchObject({ code: 3, stdout: '' });
    expect(first.stderr).toContain('"--layout" expected outputs-inputs (PyTorch) or inputs-outputs');
    const second = await cli([...base, '--layout', 'inputs-outputs']);
    expect(second).toMatchObject({ code: 3, stdout: '' });
    expect(second.stderr).toContain('"--layers" expected their names in order');
    const said = await cliJson([...base, '--layout', 'inputs-outputs', '--layers', 'stem,head']);
    expect(said.accuracy).toBeGreaterThan(0.82);
    // Said wrongly, it is a guess, and the result says what may be the matter.
    const wrong = await cliJson([...base, '--layout', 'outputs-inputs', '--layers', 'head,stem', '--force']);
    expect(wrong.accuracy).toBeLessThan(0.4);
    expect(wrong.notes).toEqual([
      expect.stringMatching(/near that of a guess.*normalized.*"--layers".*"--layout"/),
    ]);
  });
});
