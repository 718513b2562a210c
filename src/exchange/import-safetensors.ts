/**
 * Models from safetensors: those that export-safetensors.ts wrote come back as they were; any other file is a list
 * of real matrices of a multilayer perceptron without biases, which real-layers.ts reads.
 */

import { ByteReader } from '../artifact/bytes.js';
import { decodeHeader, encodeHeader } from '../artifact/header.js';
import type { PerceptronHeader } from '../artifact/perceptron.js';
import { graphOf } from '../ternary/builders/index.js';
import { type InputsHeader, isInputsHeader } from '../artifact/inputs.js';
import { weightsHash } from '../artifact/weights-hash.js';
import { InputError, printable, TernseedError } from '../errors.js';
import type { IntegerMatrix } from '../quantize/matrix.js';
import { STEPS_MAX } from '../random/directions.js';
import { ARITHMETIC } from '../ternary/arithmetic.js';
import type { Tensor } from '../ternary/model.js';
import { isWithin, SCALE_BITS, VALUE_RANGES } from '../ternary/precision.js';
import { unpackTrits } from '../ternary/trits.js';
import { realWeight } from './export-safetensors.js';
import { type RealModel, type RealOptions, readRealLayers, realsOf } from './real-layers.js';
import {
  type FileTensor,
  headerFault,
  placeOf,
  readSafetensors,
  type SafetensorsFile,
} from './safetensors.js';

/** A network that was exported from an artifact. */
export interface ExportedModel {
  readonly kind: 'exported';
  /** Of a packed artifact. */
  readonly header: PerceptronHeader;
  /** The values of all tensors in model order. */
  readonly weights: Int8Array;
  readonly steps: number;
  readonly weightsHash: string;
}

/** The forms that export-safetensors.ts writes, as their metadata say. */
const EXPORTED = ['ternseed-u8', 'ternseed-f32'];

export interface ImportOptions extends RealOptions {
  /** Whether an export in float32 is to be taken as any other file of real matrices. */
  readonly anew?: boolean;
}

/**
 * Reads a perceptron.
 * @param bytes - a safetensors file
 * @param options - what the file does not say of real matrices; of an export nothing is needed
 * @throws {InputError} when it is none that the integer model can represent, or more than one reading of it is
 *   possible, saying what was found and which setting decides
 * @throws {ConfigError} when layers were named that are not there or do not follow one another
 * @example const model = await importSafetensors(await readFile('mlp.safetensors'), { layout: 'outputs-inputs' });
 */
export async function importSafetensors(
  bytes: Uint8Array,
  { anew = false, ...options }: ImportOptions = {},
): Promise<ExportedModel | RealModel> {
  const file = readSafetensors(bytes);
  if (EXPORTED.includes(file.metadata.form) && !anew) return readExported(file);
  if (!EXPORTED.includes(file.metadata.form)) return readRealLayers(file, options, () => false);
  // Scales of an export stand in its weights already; that its normalization is centred, and how it reads inputs, do not.
  const model = readRealLayers(file, options, (name) => /^layer[0-9]+\.scale$/.test(name));
  const inputs = inputsOfMetadata(file.metadata.inputs, model.widths);
  return { ...model, centred: file.metadata.centred === 'true', inputs };
}

/** What an export says of its inputs; nothing where it goes without saying. */
function inputsOfMetadata(text: string | undefined, widths: readonly number[]): InputsHeader {
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrongMetadata('"inputs" to be JSON', cause);
  }
  if (isInputsHeader(value, widths[0], widths.at(-1) as number)) return value;
  throw wrongMetadata('"inputs" to be a scaling, image or labels of this model');
}

/**
 * The integers of a real model's layers as one network.
 * @param layers - one a layer, from the inputs on
 * @returns the precision of each layer, and the values of all tensors in model order
 */
export function assembleLayers(layers: readonly IntegerMatrix[]) {
  const precision = layers.map((layer) => layer.precision);
  const parts = [...layers.map(({ weights }) => weights), ...layers.flatMap(({ scales }) => scales ?? [])];
  const weights = new Int8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    weights.set(part, at);
    at += part.length;
  }
  return { precision, weights };
}

async function readExported(file: SafetensorsFile): Promise<ExportedModel> {
  const { metadata } = file;
  const header = headerOfMetadata(metadata);
  const network = graphOf(header);
  const byName = new Map(file.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name } of network.tensors) {
    if (!byName.has(name)) throw headerFault(`expected a tensor "${name}", got none`);
  }
  const extra = file.tensors.find(({ name }) => network.tensors.every((tensor) => tensor.name !== name));
  if (extra)
    throw new InputError(
      `safetensors: ${placeOf(extra)}: expected no other tensor than ${metadata.model} has`,
    );

  const read = (tensor: Tensor) => byName.get(tensor.name) as FileTensor;
  const packed = metadata.form === 'ternseed-u8';
  // Before room is made for what the metadata declare: the bytes are there.
  for (const { weights: matrix, scale } of network.layers) {
    const { rows, columns } = matrix;
    if (packed) expectPacked(read(matrix), matrix);
    else expectShape(read(matrix), 'F32', [rows, columns]);
    if (scale) expectPacked(read(scale), scale);
  }
  const weights = new Int8Array(network.parameters);
  for (const { weights: matrix, scale, shift } of network.layers) {
    const scales = scale && integersOf(read(scale), scale);
    if (scale && scales) weights.set(scales, scale.offset);
    const integers = packed
      ? integersOf(read(matrix), matrix)
      : integersOfReals(read(matrix), matrix, shift, scales);
    weights.set(integers, matrix.offset);
  }
  const hash = await weightsHash(weights, network.tensors);
  if (hash !== metadata.weightsHash) {
    throw headerFault(
      `expected weights with hash ${printable(metadata.weightsHash ?? 'none')}, as its metadata say, got ${hash}: ` +
        'the weights were changed after the export; of float32, "quantizer" takes them as they are',
    );
  }
  return {
    kind: 'exported',
    header,
    weights,
    steps: integerOf(metadata, 'steps', STEPS_MAX),
    weightsHash: hash,
  };
}

function headerOfMetadata(metadata: SafetensorsFile['metadata']): PerceptronHeader {
  const text = (name: string) => {
    if (metadata[name] === undefined) throw wrongMetadata(`"${name}" in an export of ternseed, got none`);
    return metadata[name];
  };
  const { arithmetic = '1' } = metadata;
  if (arithmetic !== String(ARITHMETIC)) {
    throw wrongMetadata(
      `"arithmetic" to be ${ARITHMETIC}, got "${printable(arithmetic)}": another version of ternseed wrote it`,
    );
  }
  const centred = text('centred');
  if (centred !== 'true' && centred !== 'false') throw wrongMetadata('"centred" to be true or false');
  const fields = {
    ...{
      kind: 'packed',
      model: text('model'),
      centred: centred === 'true',
      gain: integerOf(metadata, 'gain'),
    },
    ...{ logitScale: integerOf(metadata, 'logitScale'), precision: text('precision').split(',') },
    ...{ key: text('key'), cut: integerOf(metadata, 'cut'), directions: [] },
    data: { name: text('dataName'), hash: text('dataHash') },
  };
  try {
    const config = JSON.parse(text('config')) as PerceptronHeader['config'];
    const inputs = metadata.inputs === undefined ? undefined : (JSON.parse(metadata.inputs) as object);
    // Written and read as an artifact's, it has passed every check that an artifact's has.
    const read = decodeHeader(
      new ByteReader(
        encodeHeader({ ...fields, config, ...(inputs && { inputs }) } as PerceptronHeader),
        'header',
      ),
    );
    return read as PerceptronHeader;
  } catch (cause) {
    const known =
      cause instanceof TernseedError || cause instanceof SyntaxError || cause instanceof RangeError;
    if (!known) throw cause;
    throw wrongMetadata(`a network: ${printable(cause.message)}`, cause);
  }
}

function integerOf(metadata: SafetensorsFile['metadata'], name: string, most = 2 ** 31 - 1): number {
  const text = metadata[name] ?? 'none';
  if (!/^(0|[1-9][0-9]{0,9})$/.test(text) || Number(text) > most) {
    throw wrongMetadata(`"${name}" to be an integer up to ${most}, got "${printable(text)}"`);
  }
  return Number(text);
}

/** The packed form of a tensor's values. */
function expectPacked(found: FileTensor, { values, rows, columns }: Tensor): void {
  const size = rows * columns;
  const { dtype, shape } = {
    trit: { dtype: 'U8', shape: [Math.ceil(size / 5)] },
    int4: { dtype: 'U8', shape: [Math.ceil(size / 2)] },
    int8: { dtype: 'I8', shape: [rows, columns] },
    scale: { dtype: 'U8', shape: [rows] },
  }[values];
  expectShape(found, dtype, shape);
}

/** Integers as the packed form has them. */
function integersOf(found: FileTensor, { values, rows, columns, name }: Tensor): Int8Array {
  const size = rows * columns;
  let integers: Int8Array;
  try {
    integers =
      values === 'trit'
        ? unpackTrits(found.bytes, size)
        : values === 'int4'
          ? unpackNibbles(found.bytes, size)
          : Int8Array.from(found.bytes);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new InputError(`safetensors: ${placeOf(found)}: ${cause.message}`, { cause });
  }
  const stray = integers.findIndex((value) => !isWithin(values, value));
  if (stray >= 0) {
    const range = VALUE_RANGES[values].join('…');
    throw new InputError(
      `safetensors: ${placeOf(found)}: expected values of ${name} in ${range}, got ${integers[stray]} as value ${stray}`,
    );
  }
  return integers;
}

/** Integers of the float32 form: exactly those whose real values stand there. */
function integersOfReals(
  found: FileTensor,
  { columns, values }: Tensor,
  shift: number,
  scales: Int8Array | null,
): Int8Array {
  const reals = realsOf(found);
  return Int8Array.from(reals, (real, i) => {
    const scale = scales ? scales[Math.floor(i / columns)] : 1 << SCALE_BITS;
    const integer = Math.round(real / realWeight(1, shift, scale));
    if (realWeight(integer, shift, scale) !== real || !isWithin(values, integer)) {
      throw new InputError(
        `safetensors: ${placeOf(found)}: expected a multiple of ${realWeight(1, shift, scale)} as value ${i}, got ${real}: ` +
          '"quantizer" takes the weights as they are',
      );
    }
    return integer;
  });
}

function unpackNibbles(packed: Uint8Array, length: number): Int8Array {
  if (length % 2 === 1 && packed[packed.length - 1] >> 4 !== 0) {
    throw new RangeError('expected zero fill after the last value');
  }
  return Int8Array.from({ length }, (_, i) => ((packed[i >> 1] >> (4 * (i & 1))) << 28) >> 28);
}

function expectShape(found: FileTensor, dtype: string, shape: readonly number[]): void {
  if (found.dtype === dtype && found.shape.join() === shape.join()) return;
  throw new InputError(
    `safetensors: ${placeOf(found)}: expected ${dtype} [${shape.join()}], got ${found.dtype} [${found.shape.join()}]`,
  );
}

function wrongMetadata(what: string, cause?: unknown): InputError {
  return headerFault(`expected ${what}`, cause, 'metadata');
}
