/**
 * The header of an artifact: everything that rebuilding needs beside the coefficients, and
 * where the run came from. JSON, deflated with a preset dictionary, so that it takes some
 * hundred bytes although it is self-describing.
 */

import { deflateSync, inflateSync } from 'fflate';
import { DIRECTIONS_MAX } from '../random/directions.js';
import { CUT_MAX } from '../random/latents.js';
import type { Key } from '../random/philox.js';
import { ARITHMETIC } from '../ternary/arithmetic.js';
import {
  descriptionRules,
  graphOf,
  type KeyRules,
  type ModelDescription,
} from '../ternary/builders/index.js';
import { classesOf, type Graph } from '../ternary/graph.js';
import { printable } from '../errors.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { VERSION, type Version } from './container.js';
import { type InputsHeader, isInputsHeader } from './inputs.js';

/** The kinds of artifact, and the checkpoint that an unfinished pool run leaves. */
export const KINDS = ['log', 'pool', 'packed', 'checkpoint'] as const;
export type Kind = (typeof KINDS)[number];

/** What stands in every header. */
export interface AnyHeader {
  readonly kind: Kind;
  /** The run's Philox key, 16 hex digits: high word, low word. */
  readonly key: string;
  readonly cut: number;
  /** Directions of each tensor, 0 for one that stays as it was drawn; or of the whole model. Empty for `packed`. */
  readonly directions: readonly number[];
  /** The trainer's resolved configuration, to repeat the run; rebuilding does not read it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Name and SHA-256 of the training data. */
  readonly data: { readonly name: string; readonly hash: string };
  /** Of a delta: what it changes. */
  readonly base?: Base;
}

/** The artifact that a delta changes. */
export interface Base {
  /** The name that its file had, to find it by; it binds nobody. */
  readonly name: string;
  /** Its weightsHash. */
  readonly hash: string;
}

/** A header: what every one has, and what describes its model. */
export type Header = AnyHeader &
  ModelDescription & {
    /** How raw values become inputs, and the labels of the classes; left out where it goes without saying. */
    readonly inputs?: InputsHeader;
  };

/** The unpacked JSON may not be longer. */
export const HEADER_BYTES_MAX = 65_536;
/** Deflate adds five bytes a block of 64 KiB to what it cannot shorten; what is longer is a bomb. */
const DEFLATE_OVERHEAD_BYTES = 64;
/** Objects and lists may not be nested deeper, so that whatever walks a header may recurse. */
export const NESTING_MAX = 16;

/**
 * What deflate knows before it starts: typical headers, the commonest last. Part of the format: it
 * never changes within a version.
 */
const DICTIONARY_V1 =
  '{"kind":"log","kind":"packed","kind":"pool","model":"784-256-256-10","model":"784-128-64-10",' +
  '"model":"784-256-128-10","centred":true,"gain":40,"logitScale":250,"key":"","cut":0,"directions":[128],' +
  '"config":{"model":"784-256-128-10","centred":true,"gain":25,"logitScale":900,"perturb":"weights",' +
  '"artifact":"log","perturb":"nodes","artifact":"pool","train":"head","train":"all","seed":"1",' +
  '"steps":3000,"holdout":0,"batch":1024,"shift":0,"cut":0,"directions":128,"nonzeros":[16,4,1],"nonzerosBelow":[2,1],' +
  '"keep":0.5,"pool":57344,"learningRate":0.15,"hold":0,"beta1":0.9,"beta2":0.99,"probes":8,"sigma":51,' +
  '"rewardShift":5},"data":{"name":"mnist",' +
  '"hash":"b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"}}';
const DICTIONARY_V2 =
  '"precision":["int4","int8","int4-row","int8-row","ternary-row","ternary"],' +
  '"config":{"method":"ste","model":"784-256-256-256-10","centred":true,"gain":25,"logitScale":900,' +
  '"artifact":"packed","artifact":"pool","quantizer":["twn"],"quantizer":["sparse"],"threshold":[0.8],"cut":0,' +
  '"pool":57344,"seed":"1","steps":4000,"holdout":0,"batch":512,"shift":1,"optimizer":"muon","optimizer":"adamw",' +
  '"learningRate":0.004,"schedule":"constant","schedule":"one-cycle","schedule":"cosine","warmup":0.02,' +
  '"weightDecay":0,"clipNorm":0,"beta1":0.9,"beta2":0.99,"momentum":0.95},"data":' +
  '"directions":[81781,46731,2560],"directions":[5998,1715,479],"directions":[39930,16134,1280],"config":{' +
  '"probes":16,"shift":1,"steps":6000,"pool":131072,"learningRate":0.1,"gain":40,"logitScale":250,"steps":1550,' +
  '"model":"784-128-64-10","steps":4000,"pool":8192,' +
  DICTIONARY_V1;
const DICTIONARIES: Record<Version, Uint8Array> = {
  1: new TextEncoder().encode(DICTIONARY_V1),
  2: new TextEncoder().encode(DICTIONARY_V2),
};

/** The header's payload. */
export function encodeHeader(header: Header): Uint8Array {
  const { kind, key, cut, directions, config, data, base, inputs } = header;
  const arithmetic = ARITHMETIC === 1 ? {} : { arithmetic: ARITHMETIC };
  const ordered = {
    ...{ kind, ...arithmetic, ...graphOf(header).description, key, cut, directions, config, data },
    ...(base && { base }),
    ...(inputs && { inputs }),
  };
  const json = new TextEncoder().encode(JSON.stringify(ordered));
  const deflated = deflateSync(json, { level: 9, dictionary: DICTIONARIES[VERSION] });
  return new ByteWriter().integer(json.length).raw(deflated).finish();
}

/** The header of an artifact of a model. */
export function headerOf({ description }: Pick<Graph, 'description'>, keys: AnyHeader): Header {
  return { ...description, ...keys } as Header; // a description has the keys of its kind of model
}

/** The header of what stands by itself. */
export function withoutBase(header: Header): Header {
  const alone: { base?: Base } & Header = { ...header };
  delete alone.base;
  return alone;
}

/**
 * Reads a header's payload.
 * @param version - of the file
 * @throws {ArtifactError} when it is not a complete header within the limits
 */
export function decodeHeader(reader: ByteReader, version: Version = VERSION): Header {
  const start = reader.offset;
  const length = reader.integer('unpacked length', HEADER_BYTES_MAX);
  if (reader.left > length + DEFLATE_OVERHEAD_BYTES) {
    throw reader.fault(
      `expected at most ${length + DEFLATE_OVERHEAD_BYTES} bytes of deflated JSON, got ${reader.left}`,
    );
  }
  const deflated = reader.take(reader.left, 'deflated JSON');
  let value: unknown;
  try {
    // One byte more than declared: what is longer fills it.
    const json = inflateSync(deflated, {
      out: new Uint8Array(length + 1),
      dictionary: DICTIONARIES[version],
    });
    if (json.length !== length) throw new RangeError('another length than declared');
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch {
    throw reader.fault(`expected ${length} bytes of deflated JSON`, start);
  }
  return checkHeader(value, (what) => reader.fault(what, start));
}

const COMMON_RULES: KeyRules = {
  kind: [KINDS.join(', '), (value) => KINDS.includes(value as Kind)],
  key: ['16 hex digits', (value) => typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)],
  cut: [`0…${CUT_MAX}`, (value) => isIntegerIn(value, 0, CUT_MAX)],
  directions: [
    'counts of directions',
    (value) => Array.isArray(value) && value.every((count) => isIntegerIn(count, 0, DIRECTIONS_MAX)),
  ],
  config: ['an object', isRecord],
  data: [
    'a name and a hash',
    (value) => isRecord(value) && typeof value.name === 'string' && typeof value.hash === 'string',
  ],
  base: ['a name and the hash of weights', (value) => value === undefined || isBase(value)],
  inputs: ['scaling, image or labels', (value) => value === undefined || isRecord(value)],
};

function checkHeader(json: unknown, fault: (what: string) => Error): Header {
  if (!isRecord(json)) throw fault('expected a JSON object');
  if (isNestedDeeper(json, NESTING_MAX)) throw fault(`expected at most ${NESTING_MAX} levels of JSON`);
  const { arithmetic, ...value } = json;
  checkArithmetic(arithmetic, fault); // before all else, of which another arithmetic may have other rules
  const rules = { ...COMMON_RULES, ...descriptionRules(value.model) };
  for (const [key, [what, holds]] of Object.entries(rules)) {
    if (!holds(value[key])) throw fault(`expected "${key}" to be ${what}`);
  }
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(rules, key));
  if (unknown !== undefined) throw fault('expected no other keys');
  const header = value as unknown as Header;
  let graph: Graph;
  try {
    graph = graphOf(header);
  } catch (error) {
    throw fault(printable((error as Error).message)); // which shows what stands in the file
  }
  const { description, initial } = graph;
  const redundant = Object.keys(descriptionRules(value.model)).find(
    (key) => value[key] !== undefined && !Object.hasOwn(description, key),
  );
  if (redundant !== undefined) throw fault(`expected no "${redundant}" where it goes without saying`);
  if (header.inputs !== undefined && !fitsInputs(graph, header.inputs)) {
    throw fault(
      'expected "inputs" to be a scaling, image or labels of this model, and no more than needs saying',
    );
  }
  if ((header.kind === 'log' || header.kind === 'pool') && typeof initial === 'string') {
    throw fault(`expected packed weights: ${printable(initial)}`);
  }
  checkDirections(header, graph, fault);
  return header;
}

/** Weights and predictions of another arithmetic would be others, without a word. */
function checkArithmetic(arithmetic: unknown, fault: (what: string) => Error): void {
  if (arithmetic !== undefined && !isIntegerIn(arithmetic, 2, Number.MAX_SAFE_INTEGER)) {
    throw fault('expected "arithmetic" to be an integer above 1, or left out');
  }
  const number = (arithmetic as number | undefined) ?? 1;
  if (number === ARITHMETIC) return;
  const [age, remedy] =
    number > ARITHMETIC ? ['a newer', 'use that version, or one after it'] : ['an older', 'use that version'];
  throw fault(
    `expected arithmetic ${ARITHMETIC}, got ${number}: it was written by ${age} version of ternseed: ${remedy}`,
  );
}

/** Texts have no scaling and no labels. */
function fitsInputs(graph: Graph, inputs: unknown): boolean {
  return graph.rows === 'examples' && isInputsHeader(inputs, graph.slots[0].width, classesOf(graph));
}

function checkDirections(header: Header, graph: Graph, fault: (what: string) => Error): void {
  const { kind, directions } = header;
  const total = directions.reduce((sum, count) => sum + count, 0);
  if (total > DIRECTIONS_MAX) throw fault(`expected at most ${DIRECTIONS_MAX} directions, got ${total}`);
  const sizes = graph.tensors.map(({ rows, columns }) => rows * columns);
  // Values that are the same for every key have no directions.
  const isFixed = (tensor: number) => typeof graph.initial[tensor] === 'object';
  const perTensor =
    directions.length === sizes.length &&
    directions.every((count, i) => count === 0 || (count <= sizes[i] && !isFixed(i)));
  const whole =
    directions.length === 1 && directions[0] <= graph.parameters && !sizes.some((_, i) => isFixed(i));
  const fits = {
    log: perTensor || whole,
    pool: perTensor,
    checkpoint: perTensor,
    packed: directions.length === 0,
  };
  if (!fits[kind]) throw fault(`expected "directions" to fit the tensors of ${graph.name}`);
}

/** 16 hex digits, high word first. */
export function formatKey([low, high]: Key): string {
  return [high, low].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/** The key that {@link formatKey} wrote. */
export function parseKey(text: string): Key {
  return [Number.parseInt(text.slice(8), 16), Number.parseInt(text.slice(0, 8), 16)];
}

function isBase(value: unknown): boolean {
  if (!isRecord(value) || !hasKeys(value, ['name', 'hash'])) return false;
  const { name, hash } = value;
  return (
    typeof name === 'string' && name.length <= 255 && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash)
  );
}

function isIntegerIn(value: unknown, minimum: number, maximum: number): boolean {
  return Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum;
}

function isNestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((entry) => isNestedDeeper(entry, levels - 1));
}

function hasKeys(value: Record<string, unknown>, keys: readonly string[]): boolean {
  return Object.keys(value).length === keys.length && keys.every((key) => Object.hasOwn(value, key));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
