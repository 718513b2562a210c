/**
 * Exports read back by a Python reader that shares no code, and by the importer; imports of float
 * networks, and what is refused; the JSON of each kind against the artifact itself.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact } from '../src/artifact/perceptron.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { loadIdxDirectory, type Dataset } from '../src/data/dataset.js';
import { InputError } from '../src/errors.js';
import { exportJson } from '../src/exchange/export-json.js';
import { exportSafetensors, SAFETENSORS_FORMS } from '../src/exchange/export-safetensors.js';
import { assembleLayers, importSafetensors } from '../src/exchange/import-safetensors.js';
import { encodeSafetensors, readSafetensors, type SafeTensor } from '../src/exchange/safetensors.js';
import { quantizeMatrix } from '../src/quantize/matrix.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { type LayerPrecision, PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { reference } from './support/backends.js';
import { cli, cliJson } from './support/cli.js';
import { type FloatLayer, predict, trainFloatMlp } from './support/float-mlp.js';
import { because, pythonFault } from './support/missing.js';
import { rawSafetensors, real, torchLike } from './support/safetensors-files.js';
import { writeTinyData } from './support/tiny-data.js';
import { tinyOptions, tinyRun } from './support/tiny-runs.js';

const READER = fileURLToPath(new URL('support/read_safetensors.py', import.meta.url));
const KINDS = ['log', 'pool', 'packed'] as const;

interface PythonReading {
  readonly metadata: Record<string, string>;
  readonly dtypes: Record<string, string>;
  readonly weights: Record<string, number[]>;
  readonly weightsHash: string;
}

let folder: string;
let directory: string;
let data: Dataset;
let layers: FloatLayer[];
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-exchange-'));
  directory = at('tiny');
  await writeTinyData(directory);
  data = await loadIdxDirectory(directory);
  layers = trainFloatMlp([36, 12, 4], data.train, 4);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function readByPython(path: string): Promise<PythonReading> {
  const { stdout } = await promisify(execFile)('python3', [READER, path], { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout) as PythonReading;
}

/** A network of any precisions with weights of no meaning, as an opened artifact says of itself. */
async function anyNetwork(precision: readonly LayerPrecision[], widths: readonly number[], seed: number) {
  const network = networkOf(widths, { centred: true, gain: 25, logitScale: 300, precision });
  const weights = new Int8Array(network.parameters);
  let state = seed;
  for (const { values, offset, rows, columns } of network.tensors) {
    const [least, largest] = VALUE_RANGES[values];
    for (let i = offset; i < offset + rows * columns; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      weights[i] = least + ((state >>> 8) % (largest - least + 1));
    }
  }
  const header = {
    ...{
      kind: 'packed' as const,
      model: widths.join('-'),
      centred: true,
      gain: 25,
      logitScale: 300,
      precision,
    },
    ...{ key: '0123456789abcdef', cut: 1, directions: [], config: { steps: 3, text: '“ü” \u0000' } },
    data: { name: 'any', hash: 'f'.repeat(64) },
  };
  return { header, network, weights, steps: 3, weightsHash: await weightsHash(weights, network.tensors) };
}

describe.each(SAFETENSORS_FORMS)('an export to safetensors, %s', (form) => {
  const options = { form, producer: 'test 1' };

  it.skipIf(pythonFault !== null).each(KINDS)(
    `of a %s has the weights that a Python reader hashes to the artifact’s hash${because(pythonFault)}`,
    async (artifact) => {
      const run = await tinyRun({ artifact }, reference);
      const path = at(`${artifact}.${form}.safetensors`);
      await writeFile(
        path,
        exportSafetensors(
          perceptronArtifact(openArtifact(run.bytes)),
          run.history.at(-1) as Int8Array,
          options,
        ),
      );
      const read = await readByPython(path);
      expect(read.weightsHash).toBe(run.hash);
      expect(read.metadata).toMatchObject({
        ...{ producer: 'test 1', model: '36-8-4', centred: 'true', gain: '25', logitScale: '480' },
        ...{ precision: 'ternary,ternary', steps: '12', weightsHash: run.hash, dataName: 'tiny' },
      });
      expect(Object.values(read.weights).flat()).toEqual([...(run.history.at(-1) as Int8Array)]);
      expect(Object.values(read.dtypes)).toEqual(form === 'u8' ? ['U8', 'U8'] : ['F32', 'F32']);
    },
  );

  it.skipIf(pythonFault !== null)(
    `of all precisions is read back by Python${because(pythonFault)}`,
    async () => {
      const precision = Object.keys(PRECISIONS) as LayerPrecision[];
      const made = await anyNetwork(precision, [7, 5, 3, 9, 4, 11, 3], 5);
      const file = exportSafetensors(made, made.weights, options);
      await writeFile(at('all.safetensors'), file);
      const read = await readByPython(at('all.safetensors'));
      expect(read.weightsHash).toBe(made.weightsHash);
      expect(Object.values(read.weights).flat()).toEqual([...made.weights]);
      const { header, weights, steps, weightsHash } = made;
      expect(await importSafetensors(file)).toEqual({
        kind: 'exported',
        header,
        weights,
        steps,
        weightsHash,
      });
    },
  );

  it('of any network comes back with header, steps and hash', async () => {
    const precision = fc.constantFrom(...(Object.keys(PRECISIONS) as LayerPrecision[]));
    const widths = fc.array(fc.integer({ min: 2, max: 9 }), { minLength: 4, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(precision, precision, precision),
        widths,
        fc.nat(),
        async (each, sizes, seed) => {
          const { network, ...made } = await anyNetwork(each, sizes, seed);
          const file = exportSafetensors({ ...made, network }, made.weights, options);
          const ternary = each.every((one) => one === 'ternary');
          const { precision: said, ...header } = made.header;
          expect(await importSafetensors(file)).toEqual({
            ...{ kind: 'exported', ...made },
            header: ternary ? header : { ...header, precision: said },
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('whose metadata or weights were changed is refused', async () => {
    const made = await anyNetwork(['ternary', 'int4-row', 'int8'], [6, 5, 4, 3], 1);
    const { metadata, tensors } = readSafetensors(exportSafetensors(made, made.weights, options));
    const remade = (texts: object, list: readonly SafeTensor[] = tensors) =>
      importSafetensors(encodeSafetensors({ ...metadata, ...texts }, list));
    await expect(remade({})).resolves.toMatchObject({ weightsHash: made.weightsHash });
    for (const [texts, reason] of [
      [{ model: '6-5-4' }, /a network/],
      [{ model: '6-5-4-3-2' }, /a network/],
      [{ model: '60000-60000-3' }, /a network/],
      [{ model: '1e9-3' }, /a network/],
      [{ gain: '0' }, /a network/],
      [{ gain: '1.5' }, /"gain" to be an integer/],
      [{ logitScale: '99999999999' }, /"logitScale" to be an integer/],
      [{ centred: 'yes' }, /"centred" to be true or false/],
      [{ precision: 'ternary,int4-row,float' }, /a network/],
      [{ key: 'xyz' }, /a network/],
      [{ config: '{' }, /a network/],
      [{ config: `${'['.repeat(20_000)}${']'.repeat(20_000)}` }, /a network/],
      [{ config: `{"a":"${'x'.repeat(70_000)}"}` }, /a network/],
      [{ arithmetic: '2' }, /"arithmetic" to be 1, got "2": another version of ternseed wrote it/],
      [{ steps: '-1' }, /"steps" to be an integer/],
      [{ weightsHash: '0'.repeat(64) }, /expected weights with hash 0000/],
    ] as const) {
      await expect(remade(texts)).rejects.toThrow(reason);
      await expect(remade(texts)).rejects.toThrow(InputError);
    }
    for (const name of Object.keys(metadata).filter(
      (key) => !['producer', 'meaning', 'unpack', 'format', 'form'].includes(key),
    )) {
      const rest = Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== name));
      await expect(importSafetensors(encodeSafetensors(rest, tensors))).rejects.toThrow(InputError);
    }
    for (const [i, tensor] of tensors.entries()) {
      const missing = tensors.toSpliced(i, 1);
      await expect(remade({}, missing)).rejects.toThrow(`expected a tensor "${tensor.name}", got none`);
      await expect(remade({}, [...missing, { ...tensor, name: 'other' }])).rejects.toThrow(InputError);
      await expect(remade({}, tensors.with(i, { ...tensor, shape: [1, ...tensor.shape] }))).rejects.toThrow(
        `"${tensor.name}" at byte`,
      );
      for (const fill of [0xff, 0x80, 0x00]) {
        const bytes = tensor.bytes.map(() => fill);
        await expect(remade({}, tensors.with(i, { ...tensor, bytes }))).rejects.toThrow(InputError);
      }
    }
    await expect(
      remade({}, [...tensors, { name: 'x', dtype: 'U8', shape: [0], bytes: new Uint8Array(0) }]),
    ).rejects.toThrow('expected no other tensor');
  });
});

describe('the JSON of an artifact', () => {
  it.each(KINDS)('of a %s has all that it holds', async (artifact) => {
    const run = await tinyRun({ artifact }, reference);
    const opened = openArtifact(run.bytes);
    const json = JSON.parse([...exportJson(opened, 'test 1')].join('')) as Record<string, unknown>;
    expect(json).toMatchObject({
      ...{ producer: 'test 1', kind: artifact, version: opened.version, steps: 12, weightsHash: run.hash },
      ...{ header: JSON.parse(JSON.stringify(opened.header)), network: { widths: [36, 8, 4] } },
    });
    const weights = run.history.at(-1) as Int8Array;
    const pool = artifact === 'pool' ? await run.trainer.poolCoefficients() : [];
    const contents = {
      log: () => ({
        log: run.steps.map(({ nonzeros, loss, coefficients }, i) => ({
          ...{ step: i + 1, lossBits: loss / 64, nonzeros, coefficients: [...coefficients] },
          kept: coefficients.filter((value) => value !== 0).length,
        })),
      }),
      pool: () => {
        const all = [...pool];
        const first = run.trainer.counts[0];
        return { coefficients: { 'layer0.weight': all.slice(0, first), 'layer1.weight': all.slice(first) } };
      },
      packed: () => ({
        weights: { 'layer0.weight': [...weights.slice(0, 288)], 'layer1.weight': [...weights.slice(288)] },
      }),
    }[artifact]();
    expect(json).toMatchObject(contents);
  });

  it('is made a step at a time', async () => {
    const { bytes } = await tinyRun({ artifact: 'log' }, reference);
    const pieces = [...exportJson(openArtifact(bytes), 'test 1')];
    expect(pieces.length).toBeGreaterThan(12);
    expect(
      pieces
        .filter((piece) => piece.includes('"step":'))
        .every((piece) => piece.split('"step":').length === 2),
    ).toBe(true);
  });
});

describe('import of a float network', () => {
  it('takes the layers in the order of their numbers, and of their shapes where names have none', async () => {
    const square = (value: number) => ({ rows: 2, columns: 2, weights: [value, value, value, value] });
    const eleven = Array.from({ length: 11 }, (_, i) => square(i + 1));
    const model = await importSafetensors(torchLike(eleven));
    expect(model.kind === 'real' && model.layers.map(({ weights }) => weights[0])).toEqual(
      eleven.map((_, i) => i + 1),
    );
    const named = await importSafetensors(
      torchLike(
        [
          { rows: 3, columns: 5, weights: Array(15).fill(1) },
          { rows: 2, columns: 3, weights: Array(6).fill(2) },
        ],
        (i) => ['z', 'a'][i],
      ),
    );
    expect(named).toMatchObject({ kind: 'real', widths: [5, 3, 2], layers: [{ name: 'z' }, { name: 'a' }] });
  });

  it.each(['F64', 'F32', 'F16', 'BF16', 'I8'] as const)('reads %s', async (dtype) => {
    const bytes = {
      F64: new Uint8Array(Float64Array.of(1, -2, 0, 3).buffer),
      F32: new Uint8Array(Float32Array.of(1, -2, 0, 3).buffer),
      F16: new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0, 0x4200).buffer),
      BF16: new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0, 0x4040).buffer),
      I8: new Uint8Array(Int8Array.of(1, -2, 0, 3).buffer),
    }[dtype];
    const model = await importSafetensors(
      encodeSafetensors({ format: 'pt' }, [{ name: 'w', dtype, shape: [2, 2], bytes }]),
    );
    expect(model).toMatchObject({ kind: 'real', layers: [{ weights: Float64Array.of(1, -2, 0, 3) }] });
  });

  it('refuses what the integer network has not, and says what was found', async () => {
    const tensor = (shape: readonly number[], dtype = 'F32', size = 4) => {
      const length = size * shape.reduce((product, one) => product * one, 1);
      return { header: { dtype, shape, data_offsets: [0, length] }, length };
    };
    const file = (name: string, { header, length }: ReturnType<typeof tensor>, fill = 1) =>
      rawSafetensors({ __metadata__: { format: 'pt' }, [name]: header }, new Uint8Array(length).fill(fill));
    for (const [bytes, reason] of [
      [rawSafetensors({}, new Uint8Array(0)), 'expected 1…64 weight matrices, got 0'],
      [
        file('0.bias', tensor([10])),
        /"0.bias" at byte \d+: .* got a bias that is not 0, .*holds 0.bias F32 \[10\]/,
      ],
      [file('conv1.weight', tensor([4, 1, 3, 3])), 'conv1.weight F32 [4,1,3,3]'],
      [
        file('w', tensor([2, 2], 'I64', 8)),
        /"w" at byte \d+: expected weights in F32, F64, F16, BF16 or I8, got I64/,
      ],
      [file('w', tensor([2, 2]), 0xff), /expected finite numbers, got NaN as value 0/],
      [file('w', tensor([1, 4])), /a number of classes in 2…256, got w \[1,4\]: a model of one output/],
      [file('w', tensor([0, 0])), 'w F32 [0,0]'],
      [file('w', tensor([300, 2])), 'a number of classes in 2…256, got w [300,2]'],
      [file('w', tensor([2, 2]), 0), /"w" at byte \d+: expected weights that are not all 0/],
      [file('w', tensor([2, 70_000])), 'layer widths'],
      [
        torchLike([
          { rows: 3, columns: 2, weights: Array(6).fill(1) },
          { rows: 2, columns: 4, weights: Array(8).fill(1) },
        ]),
        '0.weight [3,2], 2.weight [2,4]',
      ],
      [real(Array(66).fill(2)), 'got 65'],
    ] as const) {
      await expect(importSafetensors(bytes)).rejects.toThrow(reason);
      await expect(importSafetensors(bytes)).rejects.toThrow(InputError);
    }
  });

  it('puts scales behind the matrices, as the model order has it', () => {
    const one = { rows: 2, columns: 1, weights: Float64Array.of(1, 0.5) };
    const { precision, weights } = assembleLayers([
      quantizeMatrix('int8-row', one),
      quantizeMatrix('twn', one),
      quantizeMatrix('int4-row', one),
    ]);
    expect(precision).toEqual(['int8-row', 'ternary', 'int4-row']);
    expect([...weights]).toEqual([127, 126, 1, 0, 7, 7, 127, 64, 127, 64]);
  });
});

describe('the command line', () => {
  const path = (name: string) => at(name);
  const noise = (...more: string[]) => ['train', 'idx', '--data', directory, ...tinyOptions, ...more];

  it.skipIf(pythonFault !== null)(`exports a run and imports it again${because(pythonFault)}`, async () => {
    const made = await cliJson(noise('--out', path('pool.tern')));
    const ste = ['train', 'idx', '--data', directory, '--method', 'ste', '--model', '36-13-8-4'];
    const mixed = [
      '--quantizer',
      'elastic,int4-row,int8',
      '--threshold',
      '1',
      '--steps',
      '6',
      '--batch',
      '32',
      '--logit-scale',
      '480',
    ];
    const deep = await cliJson([...ste, ...mixed, '--out', path('ste.tern')]);
    for (const [file, told] of [
      ['pool', made],
      ['ste', deep],
    ] as const) {
      const before = await cliJson(['inspect', path(`${file}.tern`)]);
      for (const dtype of SAFETENSORS_FORMS) {
        const out = path(`${file}-run.${dtype}.safetensors`);
        const exported = await cliJson([
          'export',
          path(`${file}.tern`),
          '--to',
          'safetensors',
          '--dtype',
          dtype,
          '--out',
          out,
        ]);
        expect(exported).toEqual({ bytes: (await stat(out)).size, path: out, weightsHash: told.weightsHash });
        expect((await readByPython(out)).weightsHash).toBe(told.weightsHash);
        const back = path(`${file}.${dtype}.tern`);
        const imported = await cliJson(['import', out, '--out', back, '--data', directory]);
        expect(imported).toMatchObject({
          weightsHash: told.weightsHash,
          accuracy: told.accuracy,
          split: 'test',
        });
        expect(await cliJson(['verify', back])).toMatchObject({ ok: true, weightsHash: told.weightsHash });
        if (dtype === 'f32') {
          const again = await cliJson([
            'import',
            out,
            '--out',
            back,
            '--data',
            directory,
            '--quantizer',
            'int8',
            '--force',
          ]);
          expect(again).toMatchObject({ centred: true });
          expect(again.accuracy).toBeGreaterThan((told.accuracy as number) - 0.02);
          await cliJson(['import', out, '--out', back, '--force']);
        }
        const { config, key, dataHash, steps, precision } = before;
        expect(await cliJson(['inspect', back])).toMatchObject({
          kind: 'packed',
          config,
          key,
          dataHash,
          steps,
          precision,
        });
      }
    }
  });

  it('exports JSON that says what inspect says', async () => {
    const { weightsHash } = await cliJson(noise('--artifact', 'log', '--out', path('log.tern')));
    const { bytes } = await cliJson(['export', path('log.tern'), '--to', 'json', '--out', path('log.json')]);
    const text = await readFile(path('log.json'), 'utf8');
    expect(Buffer.byteLength(text)).toBe(bytes);
    const { config } = await cliJson(['inspect', path('log.tern')]);
    expect(JSON.parse(text)).toMatchObject({ kind: 'log', weightsHash, header: { config } });
  });

  it('imports a float network as PyTorch saves it, about as good as it was', async () => {
    await writeFile(path('mlp.safetensors'), torchLike(layers));
    const right =
      predict(layers, data.test).filter((guess, i) => guess === data.test.labels[i]).length / data.test.count;
    expect(right).toBeGreaterThan(0.85);
    for (const [quantizer, least] of [
      [null, right - 0.02],
      ['int8', right - 0.03],
      ['int4-row', right - 0.05],
      ['twn-row', 0.6],
    ] as const) {
      const more = quantizer === null ? [] : ['--quantizer', quantizer];
      const out = path('mlp.tern');
      const told = await cliJson([
        'import',
        path('mlp.safetensors'),
        '--out',
        out,
        '--data',
        directory,
        '--force',
        ...more,
      ]);
      expect(told, String(quantizer)).toMatchObject({
        model: '36-12-4',
        kind: 'packed',
        calibration: { trials: expect.any(Number) },
      });
      expect(told.accuracy, String(quantizer)).toBeGreaterThanOrEqual(least);
      if (quantizer !== null) continue;
      const { accuracy, loss, weightsHash } = told;
      expect(await cliJson(['eval', out, '--data', directory])).toMatchObject({
        accuracy,
        loss,
        weightsHash,
      });
    }
  });

  it('keeps the gain and the scale that are given, and needs no data then', async () => {
    await writeFile(path('mlp.safetensors'), torchLike(layers));
    const base = ['import', path('mlp.safetensors'), '--out', path('given.tern'), '--force'];
    const given = ['--gain', '30', '--logit-scale', '77', '--centred', 'true'];
    expect(await cliJson([...base, ...given])).toMatchObject({ gain: 30, logitScale: 77, centred: true });
    expect(await cliJson([...base, '--gain', '30', '--data', directory])).toMatchObject({
      gain: 30,
      centred: false,
    });
    const scaled = await cliJson([...base, '--logit-scale', '77', '--data', directory]);
    expect(scaled).toMatchObject({ logitScale: 77, calibration: { trials: 6 } });
  });

  it('says what is wrong: 2 for settings, 3 for files, and writes nothing', async () => {
    await writeFile(path('mlp.safetensors'), torchLike(layers));
    await writeFile(path('bad.safetensors'), torchLike(layers).subarray(0, 100));
    const { header, network, weights, ...rest } = await anyNetwork(['ternary'], [4, 3], 1);
    const packed = exportSafetensors({ header, network, ...rest }, weights, { form: 'u8', producer: 'x' });
    await writeFile(path('own.safetensors'), packed);
    const before = await readdir(folder);
    const base = (name: string, ...more: string[]) => [
      'import',
      path(name),
      '--out',
      path('no.tern'),
      ...more,
    ];
    for (const [args, code, reason] of [
      [base('mlp.safetensors'), 2, '"--gain" expected a number, got none'],
      [base('mlp.safetensors', '--gain', '9'), 2, '"--logit-scale" expected a number, got none'],
      [base('mlp.safetensors', '--gain', '0', '--logit-scale', '3'), 2, '"gain" expected an integer'],
      [base('mlp.safetensors', '--gain', 'x', '--logit-scale', '3'), 2, '"--gain" expected a number'],
      [base('mlp.safetensors', '--quantizer', 'int3'), 2, '"--quantizer" expected absmean'],
      [base('mlp.safetensors', '--centred', 'maybe'), 2, '"--centred" expected true or false'],
      [base('own.safetensors', '--gain', '9'), 2, '"--gain" is said by'],
      [base('own.safetensors', '--layout', 'outputs-inputs'), 2, '"--layout" is said by'],
      [
        base('mlp.safetensors', '--layout', 'rows'),
        2,
        '"--layout" expected outputs-inputs or inputs-outputs',
      ],
      [base('mlp.safetensors', '--layers', 'a,b'), 2, '"--layers" expected names of different matrices'],
      [base('own.safetensors', '--data', directory), 3, 'expected 4 inputs, as the model has'],
      [base('bad.safetensors'), 3, 'safetensors: length at byte 0'],
      [base('none.safetensors'), 3, 'no such file'],
      [
        ['export', path('pool.tern'), '--to', 'packed', '--dtype', 'f32', '--out', path('no')],
        2,
        '"--dtype" is for',
      ],
      [
        ['export', path('pool.tern'), '--to', 'safetensors', '--dtype', 'f16', '--out', path('no')],
        2,
        '"--dtype" expected u8 or f32',
      ],
    ] as const) {
      const ended = await cli(args);
      expect(ended.stderr).toContain(reason);
      expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    }
    expect(await readdir(folder)).toEqual(before);
  });
});

test('a float32 export is taken as numbers when a quantizer is named', async () => {
  const made = await anyNetwork(['int8-row', 'ternary'], [6, 5, 4], 3);
  const file = exportSafetensors(made, made.weights, { form: 'f32', producer: 'x' });
  const model = await importSafetensors(file, { anew: true });
  expect(model).toMatchObject({ kind: 'real', widths: [6, 5, 4], centred: true });
});
