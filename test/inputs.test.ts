/** How raw values and labels become what a model reads: decided on the training part, and refused where nothing is in them. */

import { describe, expect, it } from 'vitest';
import { encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact } from '../src/artifact/perceptron.js';
import {
  headerOfInputs,
  type Inputs,
  inputsOf,
  isInputsHeader,
  PLAIN_INPUTS,
  type RawValues,
  scaleInputs,
} from '../src/artifact/inputs.js';
import { checkTrainingSet } from '../src/data/batches.js';
import { imageOfShape, namesInWords, readExamples, type ReadingOptions } from '../src/data/examples.js';
import { parseIdx } from '../src/data/idx.js';
import { ArtifactError, InputError } from '../src/errors.js';
import { fastBackends, reference } from './support/backends.js';
import { idx } from './support/idx.js';

/** Both parts from values and labels, written as IDX files of a type and read again. */
function read(
  shape: readonly number[],
  values: ArrayLike<number>,
  labels: readonly number[],
  { type = 0x08, labelType = 0x0c, test = labels, testValues = values, ...options }: Reading = {},
) {
  const part = (name: string, pixels: ArrayLike<number>, classes: readonly number[]) => ({
    images: { name: `${name}-images`, ...parseIdx(idx([classes.length, ...shape], pixels, type), name) },
    labels: { name: `${name}-labels`, ...parseIdx(idx([classes.length], classes, labelType), name) },
  });
  return readExamples(part('train', values, labels), part('test', testValues, test), options);
}

interface Reading extends ReadingOptions {
  readonly type?: number;
  readonly labelType?: number;
  readonly test?: readonly number[];
  readonly testValues?: ArrayLike<number>;
}

/** Mostly dark, as ink on black is. */
const PIXELS = [0, 0, 0, 255, 0, 64, 0, 128, 0, 0, 200, 0];
const LABELS = [4, 7, 4];

describe('inputs', () => {
  it('of bytes that span their range are half of them, rounded down', () => {
    const all = Uint8Array.from({ length: 256 }, (_, value) => value);
    expect(scaleInputs(all, PLAIN_INPUTS)).toEqual(all.map((value) => value >> 1));
    expect(scaleInputs(Float64Array.from(all), PLAIN_INPUTS)).toEqual(all.map((value) => value >> 1));
    expect(read([2, 2], PIXELS, LABELS).inputs).toMatchObject({ low: 0, high: 255, inverted: false });
  });

  it('are the same whatever the numbers that pixels come as', () => {
    const plain = read([2, 2], PIXELS, LABELS).train.inputs;
    const others: [type: number, (value: number) => number][] = [
      [0x09, (value) => value - 128],
      [0x0b, (value) => 100 * value],
      [0x0c, (value) => value],
      [0x0d, (value) => value / 255],
      [0x0e, (value) => value / 255 - 0.5],
      [0x08, (value) => 255 - value], // dark ink on white paper
      [0x0d, (value) => 1 - value / 255],
    ];
    for (const [type, change] of others) {
      expect(read([2, 2], PIXELS.map(change), LABELS, { type }).train.inputs, `${type}`).toEqual(plain);
    }
  });

  it('of bytes 0 and 1 are 0 and 127', () => {
    const { train, inputs } = read([2, 2], [0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0], LABELS);
    expect([...new Set(train.inputs)]).toEqual([0, 127]);
    expect(inputs).toMatchObject({ low: 0, high: 1 });
  });

  it('of the test part are scaled by the range of training, and cut off beyond it, which is said', () => {
    const testValues = [-1, 0, 0.5, 0.25, 1, 2, 3, 0, 0, 0, 1, 0];
    const { test, notes } = read(
      [2, 2],
      PIXELS.map((value) => value / 255),
      LABELS,
      { type: 0x0d, testValues },
    );
    expect([...test.inputs]).toEqual([0, 0, 64, 32, 127, 127, 127, 0, 0, 0, 127, 0]);
    expect(notes.join()).toMatch(/25\.0% of the values of "test-images" lie outside 0…1/);
  });

  it('of a model are read as it reads them, not as the data would have it', () => {
    const inputs: Inputs = { low: 0, high: 510, inverted: true, image: null, labels: [4, 7] };
    const { train, inputs: kept } = read([2, 2], PIXELS, LABELS, { inputs });
    expect([...train.inputs.subarray(0, 4)]).toEqual([127, 127, 127, 127 - 64]);
    expect(kept).toEqual(inputs);
  });

  it('say where the parts seem to be negatives of each other', () => {
    const { notes } = read([2, 2], PIXELS, LABELS, { testValues: PIXELS.map((value) => 255 - value) });
    expect(notes.join()).toContain('one of them may be a negative');
    expect(read([2, 2], PIXELS, LABELS).notes).toEqual([]);
  });

  it.each([
    ['of one value', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x08, 'got 0 everywhere: there is no information'],
    ['of one image', [1, 2, 3, 200, 1, 2, 3, 200, 1, 2, 3, 200], 0x08, '3 times the same'],
    [
      'of one value far from all others',
      [0, 1, 2, 3, 3, 2, 1, 0, 1e30, 2, 0, 1],
      0x0d,
      '2 of 3 that are the same once',
    ],
    ['without end', [-1.7e308, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1.7e308], 0x0e, 'a range of finite width'],
  ])('%s are refused with the reason', (_, values, type, reason) => {
    expect(() => read([2, 2], values, LABELS, { type })).toThrow(InputError);
    expect(() => read([2, 2], values, LABELS, { type })).toThrow(reason);
  });

  it('in another range than a model’s are refused where nothing is left of them', () => {
    const ones = PIXELS.map((value) => Number(value > 0));
    expect(() => read([2, 2], ones, LABELS, { inputs: { ...PLAIN_INPUTS, labels: [4, 7] } })).toThrow(
      '3 of 3 that are the same once 0…255 is scaled to 0…127',
    );
  });
});

describe('labels', () => {
  it('are names: any integers, in the order of their values', () => {
    const { train, test, inputs } = read([2, 2], PIXELS, [200, -3, 200], { test: [-3, -3, 200] });
    expect([[...train.labels], [...test.labels], train.classes]).toEqual([[1, 0, 1], [0, 0, 1], 2]);
    expect(inputs.labels).toEqual([-3, 200]);
    expect(read([2, 2], PIXELS, [0, 1, 0]).inputs.labels).toBeNull();
    expect(read([2, 2], PIXELS, [1, 0, 1], { labelType: 0x0e }).train.classes).toBe(2);
  });

  it.each([
    ['of one class', [3, 3, 3], {}, 'labels of two classes or more, got only 3'],
    ['that training has not', LABELS, { test: [4, 7, 11] }, 'labels that training has, 4, 7; got 11, too'],
    ['that are no integers', [0, 0.5, 1], { labelType: 0x0d }, 'integers as labels, got 0.5 as label 1'],
  ])('%s are refused, and it is said which they are', (_, labels, more, reason) => {
    expect(() => read([2, 2], PIXELS, labels, more)).toThrow(InputError);
    expect(() => read([2, 2], PIXELS, labels, more)).toThrow(reason);
  });

  it('are at most 256', () => {
    const labels = Array.from({ length: 257 }, (_, i) => 2 * i);
    const values = labels.flatMap((label) => [label & 255, 0]);
    expect(() => read([2], values, labels)).toThrow(
      'labels of at most 256 classes, got 257 different ones: 0, 2, 4',
    );
    expect(read([2], values.slice(0, 512), labels.slice(0, 256)).train.classes).toBe(256);
  });

  it('that a model has no outputs for are named', () => {
    const { train } = read([2, 2], PIXELS, [1, 26, 255]);
    expect(() => checkTrainingSet(train, [4, 2], 0)).toThrow(
      '"model" expected at least 3 outputs, one for each label of the data (1, 26, 255), got 2',
    );
    expect(() => checkTrainingSet(train, [4, 10], 0)).not.toThrow();
    expect(namesInWords([1, 2, 3, 5, 6, 9])).toBe('1…3, 5, 6, 9');
  });
});

describe('images', () => {
  it.each([
    [[28, 28], { rows: 28, columns: 28, channels: 1, planar: false }],
    [[8, 6, 3], { rows: 8, columns: 6, channels: 3, planar: false }],
    [[3, 8, 6], { rows: 8, columns: 6, channels: 3, planar: true }],
    [[1, 8, 6], { rows: 8, columns: 6, channels: 1, planar: false }],
    [[784], null],
    [[1, 784], null],
    [[3, 8, 3], null],
    [[8, 8, 8], null],
  ])('of shape %j are found', (shape, image) => {
    expect(imageOfShape(shape)).toEqual(image);
  });

  it('are kept where they are no squares of one channel, or lie flat in their file', () => {
    const wide = read([1, 4], PIXELS, LABELS);
    expect([wide.train.image, wide.inputs.image]).toEqual([null, null]);
    const square = { rows: 2, columns: 2, channels: 1, planar: false };
    expect(read([2, 2], PIXELS, LABELS).inputs.image).toBeNull();
    expect(read([4], PIXELS, LABELS, { image: square })).toMatchObject({
      train: { image: square },
      inputs: { image: square },
    });
    expect(() => read([2, 2], PIXELS, LABELS, { image: { ...square, columns: 3 } })).toThrow('images of 2×3');
  });

  it('of other shapes in the test part are refused, though they have as many pixels', () => {
    const images = { name: 'train', ...parseIdx(idx([3, 2, 2], PIXELS), 'train') };
    const others = { name: 'test', ...parseIdx(idx([3, 1, 4], PIXELS), 'test') };
    const labels = { name: 'labels', ...parseIdx(idx([3], LABELS), 'labels') };
    expect(() => readExamples({ images, labels }, { images: others, labels })).toThrow(
      'examples of 2×2, as for training, got 1×4',
    );
  });
});

describe('a header', () => {
  const header = {
    ...{ kind: 'packed', model: '4-2', centred: true, gain: 25, logitScale: 900 },
    ...{ key: '0'.repeat(16), cut: 0, directions: [], config: {}, data: { name: 'none', hash: '' } },
  } as const;
  const open = (inputs: unknown) =>
    perceptronArtifact(
      openArtifact(
        encodePacked({ ...header, inputs } as never, new Int8Array(8), {
          steps: 0,
          weightsHash: '0'.repeat(64),
        }),
      ),
    ).header;

  it('keeps what does not go without saying, to the bit', () => {
    const inputs: Inputs = {
      ...{ low: -0.1, high: 1 / 3, inverted: true, labels: [-1, 2 ** 40] },
      image: { rows: 1, columns: 2, channels: 2, planar: true },
    };
    expect(inputsOf(open(headerOfInputs(inputs)))).toEqual(inputs);
    expect(headerOfInputs(PLAIN_INPUTS)).toBeUndefined();
    expect(headerOfInputs({ ...PLAIN_INPUTS, labels: [0, 1] })).toBeUndefined();
  });

  it.each([
    [{}],
    [{ low: 0 }],
    [{ low: 300 }],
    [{ high: 255 }],
    [{ low: null }],
    [{ low: '1' }],
    [{ inverted: false }],
    [{ image: [2, 2] }],
    [{ image: [2, 3, 1] }],
    [{ planar: true }],
    [{ labels: [] }],
    [{ labels: [0, 1] }],
    [{ labels: [5, 5] }],
    [{ labels: [1, 2, 3] }],
    [{ labels: [1.5, 2] }],
    [{ other: 1 }],
    [[1]],
    ['text'],
  ])('that says %j is refused', (inputs) => {
    expect(isInputsHeader(inputs, 4, 2)).toBe(false);
    expect(() => open(inputs)).toThrow(ArtifactError);
  });
});

describe.each([['reference', async () => reference] as const, ...fastBackends])('%s', (_, openBackend) => {
  it('takes no other arrays than it says, and no values above 127', async () => {
    const backend = await openBackend();
    const { network } = perceptronArtifact(
      openArtifact(
        encodePacked(
          {
            ...{ kind: 'packed', model: '4-2', centred: true, gain: 25, logitScale: 900 },
            ...{ key: '0'.repeat(16), cut: 0, directions: [], config: {}, data: { name: 'none', hash: '' } },
          },
          new Int8Array(8),
          { steps: 0, weightsHash: '0'.repeat(64) },
        ),
      ),
    );
    const placed = await backend.place(network, { batch: 2 });
    const load = (inputs: unknown, labels: unknown) => () =>
      placed.load({ inputs: inputs as Uint8Array, labels: labels as Uint8Array, length: 1 });
    const one = new Uint8Array(1);
    const wrong: RawValues[] = [
      Float32Array.of(0, 0.5, 1, 0),
      [0, 1, 2, 3],
      Int8Array.of(0, 1, 2, 3),
      Uint8ClampedArray.of(0, 1, 2, 3),
      new Float64Array(4),
    ];
    for (const inputs of wrong) expect(load(inputs, one)).toThrow(/^"inputs" expected a Uint8Array, got /);
    for (const labels of [[0], new Int32Array(1), new Float32Array(1), null]) {
      expect(load(new Uint8Array(4), labels)).toThrow(/^"labels" expected a Uint8Array, got /);
    }
    expect(load(Uint8Array.of(0, 1, 2, 128), one)).toThrow('"inputs" expected values in 0…127');
    expect(load(new Uint8Array(3), one)).toThrow('"inputs" expected 1 × 4 values');
    await expect(placed.writeWeights(new Float32Array(8) as never)).rejects.toThrow(
      '"weights" expected an Int8Array, got "Float32Array"',
    );
    expect(load(Buffer.from([0, 1, 2, 127]), one)).not.toThrow();
    await backend.close();
  });
});

it('a training set is checked before it is trained on', () => {
  const set = { inputs: new Uint8Array(8), labels: new Uint8Array(2), count: 2, width: 4 };
  const check = (change: object) => () => checkTrainingSet({ ...set, ...change }, [4, 2], 0);
  expect(check({})).not.toThrow();
  expect(check({ inputs: new Float32Array(8) })).toThrow(
    '"inputs" expected a Uint8Array, got "Float32Array"',
  );
  expect(check({ labels: [0, 1] })).toThrow('"labels" expected a Uint8Array, got "Array"');
  expect(check({ inputs: new Uint8Array(8).fill(255) })).toThrow('values in 0…127');
  expect(check({ inputs: new Uint8Array(9) })).toThrow('"inputs" expected 2 × 4 values, got 9');
  expect(check({ labels: new Uint8Array(3) })).toThrow('"labels" expected 2 values, got 3');
  expect(check({ count: 0 })).toThrow('"count" expected an integer of 1 or more, got 0');
});
