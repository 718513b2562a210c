/**
 * An opened artifact: header, sections, and what its kind holds. Opening verifies structure
 * and checksums; that the weights are the right ones is shown by rebuilding them (`verify`).
 */

import { ArtifactError, expected } from '../errors.js';
import { poolSets, STEPS_MAX } from '../random/directions.js';
import { coefficientLimit } from '../random/latents.js';
import type { Network } from '../ternary/network.js';
import { isWithin, VALUE_RANGES, type Values } from '../ternary/precision.js';
import { ByteReader, ByteWriter } from './bytes.js';
import {
  decoderOf,
  encodeSection,
  preamble,
  readSections,
  type Section,
  SectionType,
  VERSION,
} from './container.js';
import { decodeHeader, encodeHeader, type Header, type Kind, networkOfHeader, parseKey } from './header.js';
import { SignedCoder, TritCoder } from './integer-coder.js';
import { RangeEncoder } from './range-coder.js';
import { BLOCK_STEPS, encodeLogBlock, type LogStep, readBlockRange, readLogBlock } from './seed-log.js';
import { fromHex, toHex } from './weights-hash.js';

/** The kinds that hold a whole network. */
export type ArtifactKind = Exclude<Kind, 'checkpoint'>;

/** What every artifact says of itself. */
interface Opened {
  readonly version: number;
  readonly bytes: number;
  readonly header: Header;
  readonly network: Network;
  readonly sections: readonly Section[];
  /** Steps of training behind the weights. */
  readonly steps: number;
  /** Of the final weights, 64 hex digits. */
  readonly weightsHash: string;
}

/** The coefficients of every step. */
export interface SeedLog extends Opened {
  readonly kind: 'log';
  /** Decodes the steps from the first on; the coefficients' array is used again for the next. */
  replaySteps(): Generator<LogStep>;
}

/** One coefficient a direction. */
export interface SeedPool extends Opened {
  readonly kind: 'pool';
  /** [Σ K]. */
  readonly coefficients: Int16Array;
}

/** The weights themselves. */
export interface Packed extends Opened {
  readonly kind: 'packed';
  /** The values of all tensors in model order: trits, other weights, scales of rows. */
  readonly weights: Int8Array;
}

export type Artifact = SeedLog | SeedPool | Packed;

/** How a run ended, beside its coefficients. */
export interface Outcome {
  readonly steps: number;
  readonly weightsHash: string;
}

/**
 * Opens an artifact.
 * @param bytes - a whole file; kept by reference
 * @throws {ArtifactError} naming the section and the offset of the fault
 * @example const artifact = openArtifact(await readFile('mnist.tern'));
 */
export function openArtifact(bytes: Uint8Array): Artifact {
  const sections = readSections(bytes);
  const header = headerOf(bytes, sections);
  const { kind } = header;
  const last = sections.at(-1) as Section;
  if (last.type !== SectionType.end) {
    throw new ArtifactError(
      `end at byte ${bytes.length}: expected an end section, got none: the file is cut short or the run unfinished`,
    );
  }
  const body = sections.slice(1, -1);
  const network = networkOfHeader(header);
  const opened = {
    version: VERSION,
    bytes: bytes.length,
    header,
    network,
    sections,
    ...readEnd(bytes, last),
  };
  switch (kind) {
    case 'log':
      return openLog(bytes, body, opened);
    case 'pool':
      return openPool(bytes, body, opened);
    case 'packed':
      return openPacked(bytes, body, opened);
    case 'checkpoint':
      throw new ArtifactError(
        'header at byte 5: expected an artifact, got the checkpoint of an unfinished run',
      );
    default:
      return kind satisfies never;
  }
}

/** Header of a list of sections; it must be the first and the only one. */
export function headerOf(bytes: Uint8Array, sections: readonly Section[]): Header {
  const first = sections[0];
  if (first?.type !== SectionType.header) {
    throw new ArtifactError(
      `header at byte ${first?.offset ?? bytes.length}: expected a header section first`,
    );
  }
  return decodeHeader(payload(bytes, first));
}

/** A cursor over a section's payload. */
export function payload(bytes: Uint8Array, section: Section): ByteReader {
  return new ByteReader(bytes, section.name, section.start, section.end);
}

/** A finished seed log. */
export function encodeSeedLog(header: Header, steps: readonly LogStep[], outcome: Outcome): Uint8Array {
  const sections: Uint8Array[] = [];
  for (let first = 0; first < steps.length; first += BLOCK_STEPS) {
    sections.push(encodeLogBlock(first + 1, steps.slice(first, first + BLOCK_STEPS)));
  }
  return assemble({ ...header, kind: 'log' }, sections, outcome);
}

/** A seed pool; the coefficients of each tensor have their own statistics. */
export function encodeSeedPool(header: Header, coefficients: Int16Array, outcome: Outcome): Uint8Array {
  const encoder = new RangeEncoder();
  let first = 0;
  for (const count of header.directions) {
    const coder = new SignedCoder();
    for (const value of coefficients.subarray(first, first + count)) coder.encode(encoder, value);
    first += count;
  }
  return assemble(
    { ...header, kind: 'pool' },
    [encodeSection(SectionType.coefficients, encoder.finish())],
    outcome,
  );
}

/**
 * Packed weights; those of each tensor have their own statistics.
 * @param weights - the values of all tensors in model order
 * @throws {ConfigError} when one is out of its tensor's range
 */
export function encodePacked(header: Header, weights: Int8Array, outcome: Outcome): Uint8Array {
  const encoder = new RangeEncoder();
  for (const { name, values, offset, rows, columns } of networkOfHeader(header).tensors) {
    const coder = coderOf(values);
    for (const value of weights.subarray(offset, offset + rows * columns)) {
      if (!isWithin(values, value)) {
        throw expected(name, `values in ${VALUE_RANGES[values].join('…')}`, value);
      }
      coder.encode(encoder, value);
    }
  }
  const section = encodeSection(SectionType.trits, encoder.finish());
  return assemble({ ...header, kind: 'packed', directions: [] }, [section], outcome);
}

function assemble(
  header: Header,
  sections: readonly Uint8Array[],
  { steps, weightsHash }: Outcome,
): Uint8Array {
  const end = new ByteWriter().integer(steps).raw(fromHex(weightsHash)).finish();
  const file = new ByteWriter().raw(preamble()).raw(encodeSection(SectionType.header, encodeHeader(header)));
  for (const section of sections) file.raw(section);
  return file.raw(encodeSection(SectionType.end, end)).finish();
}

function readEnd(bytes: Uint8Array, section: Section): Outcome {
  const reader = payload(bytes, section);
  const steps = reader.integer('number of steps', STEPS_MAX);
  const hash = toHex(reader.take(32, 'hash of the weights'));
  reader.expectEnd();
  return { steps, weightsHash: hash };
}

function openLog(bytes: Uint8Array, body: readonly Section[], opened: Opened): SeedLog {
  let next = 1;
  for (const section of body) {
    if (section.type !== SectionType.log) throw unexpected(section, 'a log section');
    const reader = payload(bytes, section);
    const { first, count } = readBlockRange(reader);
    if (first !== next) throw reader.fault(`expected step ${next} first, got ${first}`, section.start);
    next += count;
  }
  if (next - 1 !== opened.steps) {
    throw atEnd(opened, `expected ${next - 1} steps, as the log has, got ${opened.steps}`);
  }
  const size = opened.header.directions.reduce((sum, count) => sum + count, 0);
  return {
    ...opened,
    kind: 'log',
    *replaySteps() {
      for (const section of body) yield* readLogBlock(payload(bytes, section), size);
    },
  };
}

function openPool(bytes: Uint8Array, body: readonly Section[], opened: Opened): SeedPool {
  const section = only(body, SectionType.coefficients, 'one section of coefficients', opened);
  const reader = payload(bytes, section);
  const decoder = decoderOf(reader);
  const { directions, cut } = opened.header;
  const limit = coefficientLimit(cut);
  const coefficients = new Int16Array(directions.reduce((sum, count) => sum + count, 0));
  let at = 0;
  for (const count of directions) {
    const coder = new SignedCoder();
    for (const end = at + count; at < end; at++) {
      const value = coder.decode(decoder);
      if (Math.abs(value) > limit)
        throw decoder.fault(`expected a coefficient within ±${limit}, got ${value}`);
      coefficients[at] = value;
    }
  }
  decoder.expectEnd();
  return { ...opened, kind: 'pool', coefficients };
}

function openPacked(bytes: Uint8Array, body: readonly Section[], opened: Opened): Packed {
  const section = only(body, SectionType.trits, 'one section of trits', opened);
  const reader = payload(bytes, section);
  const decoder = decoderOf(reader);
  const weights = new Int8Array(opened.network.parameters);
  for (const { name, values, offset, rows, columns } of opened.network.tensors) {
    const coder = coderOf(values);
    for (let i = offset; i < offset + rows * columns; i++) {
      const value = coder.decode(decoder);
      if (!isWithin(values, value)) {
        throw decoder.fault(`expected values of ${name} in ${VALUE_RANGES[values].join('…')}, got ${value}`);
      }
      weights[i] = value;
    }
  }
  decoder.expectEnd();
  return { ...opened, kind: 'packed', weights };
}

/** A coder for the values of one tensor. */
function coderOf(values: Values): TritCoder | SignedCoder {
  return values === 'trit' ? new TritCoder() : new SignedCoder();
}

function only(body: readonly Section[], type: SectionType, what: string, { bytes }: Opened): Section {
  const [section, extra] = body;
  if (section?.type !== type) throw section ? unexpected(section, what) : missing(what, bytes);
  if (extra) throw unexpected(extra, `${what} alone`);
  return section;
}

function unexpected(section: Section, what: string): ArtifactError {
  return new ArtifactError(`${section.name} at byte ${section.offset}: expected ${what}`);
}

function missing(what: string, at: number): ArtifactError {
  return new ArtifactError(`body at byte ${at}: expected ${what}, got none`);
}

/** A fault of what the end section says. */
export function atEnd({ sections }: Pick<Opened, 'sections'>, what: string): ArtifactError {
  return new ArtifactError(`end at byte ${sections.at(-1)?.offset}: ${what}`);
}

/** The direction sets and the key of an opened pool. */
export function setsOfPool({ header, network }: SeedPool) {
  return poolSets(network.tensors, parseKey(header.key), header.directions);
}
