// Entry points of other formats: safetensors, IDX data, gzip, settings in JSON; and the kernels that read trits
// beside their definitions, on bytes of any kind.

import { decodeByDefinition, LANES } from '../../dist/src/artifact/interleaved-coder.js';
import { openInterleavedKernel } from '../../dist/src/artifact/kernels/interleaved.js';
import { openRangeCodedKernel } from '../../dist/src/artifact/kernels/range-coded.js';
import { decodeByDefinition as decodeNeighbours } from '../../dist/src/artifact/neighbour-coder.js';
import { RangeDecoder } from '../../dist/src/artifact/range-coder.js';
import { decodePlainByDefinition } from '../../dist/src/artifact/tensor-coder.js';
import { gunzipBounded, parseIdx } from '../../dist/src/data/idx.js';
import { assembleLayers, importSafetensors } from '../../dist/src/exchange/import-safetensors.js';
import { MATRIX_QUANTIZER_NAMES, quantizeMatrix } from '../../dist/src/quantize/matrix.js';
import { networkOf } from '../../dist/src/ternary/builders/perceptron.js';
import { isWithin } from '../../dist/src/ternary/precision.js';
import { bytesOf, same, text } from './bytes.mjs';
import {
  artifactRefusal,
  configRefusal,
  Failure,
  hashOf,
  inputRefusal,
  modelRefusal,
  read,
  readLater,
} from './checks.mjs';
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

/** Whether bytes are samples one after another, as members that a mutation put together unpack to. */
function isMadeOf(samples, bytes) {
  if (bytes.length === 0) return true;
  return samples.some(
    (one) => same(one, bytes.subarray(0, one.length)) && isMadeOf(samples, bytes.subarray(one.length)),
  );
}

function checkGzip(bytes) {
  const unpacked = read((one) => gunzipBounded(one, 'file', GZIP_LIMIT), bytes, inputRefusal);
  if (!unpacked) return 'refused';
  const known = unpacked.length > 0 && isMadeOf([images, labels], unpacked);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b && !known) {
    throw new Failure('a damaged gzip file unpacks to something else');
  }
  return 'read';
}

const interleaved = openInterleavedKernel();
const rangeCoded = openRangeCodedKernel();

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
  const results = [interleaved, decodeByDefinition].map((decode) => {
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

/** Range-coded trits: the same, or the same fault. */
function checkRangeCoded(choices) {
  const columns = 1 + choices.to(60);
  const length = columns * (1 + choices.to(12));
  const stride = columns < 4 || choices.once(2) ? 0 : 4 + choices.to(columns - 3);
  const bytes = bytesOf(Uint32Array.from({ length: choices.to(1 + length / 4) }, () => choices.word()));
  const tensor = { name: 'trits', values: 'trit', rows: length / columns, columns, offset: 0 };
  const { plain, neighbours } = rangeCoded;
  const delegate = (read) => (decoder, trits) =>
    decoder.delegate((coded, state) => read(coded, state, trits, columns, stride));
  const ways = choices.once(2)
    ? [delegate(plain), (decoder, trits) => decodePlainByDefinition(decoder, tensor, trits)]
    : [delegate(neighbours), (decoder, trits) => decodeNeighbours(decoder, trits, columns, stride)];
  const [fast, right] = ways.map((way) => {
    const trits = new Int8Array(length);
    try {
      const decoder = new RangeDecoder(bytes, 'trits');
      way(decoder, trits);
      return { trits, end: JSON.stringify(decoder) };
    } catch (error) {
      artifactRefusal(error, bytes);
      return { fault: error.message };
    }
  });
  if (fast.fault !== right.fault)
    throw new Failure(`the kernel: ${fast.fault}; the definition: ${right.fault}`);
  if (right.fault) return 'too few bytes';
  const alike = same(fast.trits, right.trits) && fast.end === right.end;
  if (!alike) throw new Failure('the kernel reads other trits than the definition');
  return 'read alike';
}

export const dataEntries = [
  {
    name: 'importSafetensors',
    share: 60,
    make(choices) {
      const origin = choices.of(models);
      const bytes = mutateModel(choices, origin);
      return { kind: origin.kind, bytes, check: () => checkModel(choices, bytes) };
    },
  },
  {
    name: 'kernels',
    share: 20,
    make(choices) {
      const kind = choices.of(['interleaved trits', 'range-coded trits']);
      const check = kind === 'interleaved trits' ? checkInterleaved : checkRangeCoded;
      return { kind, bytes: new Uint8Array(0), check: () => check(choices) };
    },
  },
  {
    name: 'parseIdx',
    share: 15,
    make(choices) {
      const { bytes } = mutateBytes(choices, choices.of([images, labels]));
      return { kind: 'IDX', bytes, check: () => checkIdx(bytes) };
    },
  },
  {
    name: 'gunzipBounded',
    share: 15,
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
