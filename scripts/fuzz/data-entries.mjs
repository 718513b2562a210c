// Entry points of other formats: safetensors, IDX data, gzip, settings in JSON; and the SIMD reader of interleaved
// trits beside its definition, on states and words of any kind.

import { decodeByDefinition, LANES } from '../../dist/src/artifact/interleaved-coder.js';
import { openInterleavedKernel } from '../../dist/src/artifact/kernels/interleaved.js';
import { gunzipBounded, parseIdx } from '../../dist/src/data/idx.js';
import { assembleLayers, importSafetensors } from '../../dist/src/exchange/import-safetensors.js';
import { MATRIX_QUANTIZER_NAMES, quantizeMatrix } from '../../dist/src/quantize/matrix.js';
import { networkOf } from '../../dist/src/ternary/network.js';
import { isWithin } from '../../dist/src/ternary/precision.js';
import { bytesOf, same, text } from './bytes.mjs';
import { configRefusal, Failure, hashOf, inputRefusal, modelRefusal, read, readLater } from './checks.mjs';
import { mutateBytes, mutateModel, otherValue } from './mutate.mjs';
import { gzips, images, labels, models, settings } from './samples.mjs';

async function checkModel(choices, bytes) {
  const anew = choices.once(4);
  const model = await readLater(() => importSafetensors(bytes, { anew }), bytes, modelRefusal);
  if (!model) return 'refused';
  if (model.kind === 'exported') {
    const { header, weights, weightsHash } = model;
    const { tensors } = networkOfModel(header);
    if (hashOf(weights, tensors) !== weightsHash) throw new Failure('other weights than the hash is of');
    return 'taken as an export';
  }
  const { widths, layers } = model;
  if (layers.length > 8 || layers.some(({ weights }) => weights.length > 4096))
    return 'taken, too large here';
  const quantizer = choices.of(MATRIX_QUANTIZER_NAMES);
  const { precision, weights } = assembleLayers(layers.map((layer) => quantizeMatrix(quantizer, layer)));
  const { tensors } = networkOf(widths, { centred: false, gain: 127, logitScale: 1, precision });
  for (const { values, offset, rows, columns } of tensors) {
    const part = weights.subarray(offset, offset + rows * columns);
    const stray = part.find((value) => !isWithin(values, value));
    if (stray !== undefined) throw new Failure(`${quantizer} makes ${stray} of ${values}`);
  }
  return 'taken and quantized';
}

function networkOfModel({ model, centred, gain, logitScale, precision }) {
  return networkOf(model.split('-').map(Number), { centred, gain, logitScale, precision });
}

function checkIdx(bytes) {
  const parsed = read((one) => parseIdx(one, 'file'), bytes, inputRefusal);
  if (!parsed) return 'refused';
  if (parsed.shape.reduce((product, one) => product * one, 1) !== parsed.data.length) {
    throw new Failure('an IDX file whose data are not of its shape');
  }
  return 'read';
}

const GZIP_LIMIT = 2 ** 20;

function checkGzip(bytes) {
  const unpacked = read((one) => gunzipBounded(one, 'file', GZIP_LIMIT), bytes, inputRefusal);
  if (!unpacked) return 'refused';
  const known = [images, labels].some((one) => same(one, unpacked));
  if (bytes[0] === 0x1f && bytes[1] === 0x8b && !known) {
    throw new Failure('a damaged gzip file unpacks to something else');
  }
  return 'read';
}

const kernel = openInterleavedKernel();

/** Both readers take the same words, end in the same states and give the same trits, or find too few words. */
function checkInterleaved(choices) {
  const columns = 1 + choices.to(40);
  const length = columns * (1 + choices.to(20));
  const count = 1 + choices.to(16);
  const zero = new Uint16Array(count);
  const positive = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    zero[i] = 1 + choices.to(choices.of([8, 16_382]));
    positive[i] = 1 + choices.to(16_383 - zero[i]);
  }
  const classes = Uint8Array.from({ length: columns }, () => choices.to(count));
  const states = Uint32Array.from({ length: LANES }, () => choices.word() | (1 << (16 + choices.to(16))));
  const words = bytesOf(Uint32Array.from({ length: choices.to(length) }, () => choices.word()));
  const results = [kernel, decodeByDefinition].map((decode) => {
    const [ends, trits] = [states.slice(), new Int8Array(length)];
    return { taken: decode(words, ends, { zero, positive, classes }, trits), ends, trits };
  });
  const [fast, plain] = results;
  if (fast.taken !== plain.taken)
    throw new Failure(`the kernel takes ${fast.taken} words, not ${plain.taken}`);
  if (plain.taken === null) return 'too few words';
  const alike = same(fast.trits, plain.trits) && same(bytesOf(fast.ends), bytesOf(plain.ends));
  if (!alike) throw new Failure('the kernel reads other trits than the definition');
  return 'read alike';
}

export const dataEntries = [
  {
    name: 'importSafetensors',
    share: 80,
    make(choices) {
      const origin = choices.of(models);
      const bytes = mutateModel(choices, origin);
      return { kind: origin.kind, bytes, check: () => checkModel(choices, bytes) };
    },
  },
  {
    name: 'interleaved kernel',
    share: 10,
    make: (choices) => ({
      kind: 'packed',
      bytes: new Uint8Array(0),
      check: () => checkInterleaved(choices),
    }),
  },
  {
    name: 'parseIdx',
    share: 10,
    make(choices) {
      const { bytes } = mutateBytes(choices, choices.of([images, labels]));
      return { kind: 'IDX', bytes, check: () => checkIdx(bytes) };
    },
  },
  {
    name: 'gunzipBounded',
    share: 10,
    make(choices) {
      const { bytes } = mutateBytes(choices, choices.of(gzips));
      return { kind: 'gzip', bytes, check: () => checkGzip(bytes) };
    },
  },
  {
    name: 'checkConfig',
    share: 10,
    make(choices) {
      const { kind, preset, check } = choices.of(settings);
      const lie = otherValue(choices, { ...preset });
      const json = JSON.stringify(typeof lie === 'object' && lie !== null ? lie : {});
      const checked = () => read(() => check(JSON.parse(json)), null, configRefusal);
      return {
        kind: `settings of ${kind}`,
        bytes: text(json),
        check: () => (checked() ? 'taken' : 'refused'),
      };
    },
  },
];
