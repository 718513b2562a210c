/**
 * An opened artifact: header, sections, and what its kind holds. Opening verifies structure
 * and checksums; that the weights are the right ones is shown by rebuilding them (`verify`).
 */

import { ArtifactError, expected } from '../errors.js';
import { poolSets, STEPS_MAX } from '../random/directions.js';
import type { Model, Tensor } from '../ternary/model.js';
import type { Graph } from '../ternary/graph.js';
import { ByteReader, ByteWriter } from './bytes.js';
import {
  encodeSection,
  PREAMBLE_BYTES,
  preamble,
  readSections,
  type Section,
  SECTIONS_MAX,
  SectionType,
  type Version,
  versionOf,
} from './container.js';
import { valuesMax } from './expansion.js';
import { decodeHeader, encodeHeader, type Header, type Kind, parseKey } from './header.js';
import { graphOf } from '../ternary/builders/index.js';
import { decodePool, encodePool } from './pool.js';
import {
  type BlockRange,
  encodeLogBlocks,
  type LogStep,
  readBlockRange,
  readLogBlock,
  type ReadStep,
} from './seed-log.js';
import { decodeTensor, encodeTensor } from './tensor-coder.js';
import { decodePackedV1 } from './v1/packed.js';
import { decodePoolV1 } from './v1/pool.js';
import { readBlockRangeV1, readLogBlockV1 } from './v1/seed-log.js';
import { fromHex, sha256, toHex } from './weights-hash.js';
import { StepWork, WorkMeter, workMax } from './work.js';

/** The kinds that hold a whole network. */
export type ArtifactKind = Exclude<Kind, 'checkpoint'>;

/** What every artifact says of itself. */
export interface Opened {
  readonly version: Version;
  readonly bytes: number;
  readonly header: Header;
  readonly network: Graph;
  readonly sections: readonly Section[];
  /** Steps of training behind the weights. */
  readonly steps: number;
  /** Of the final weights, 64 hex digits. */
  readonly weightsHash: string;
}

/** The coefficients of every step. */
export interface SeedLog extends Opened {
  readonly kind: 'log';
  /**
   * Decodes the steps from one on; the coefficients' array is used again for the next.
   * @param first - the first if left out; blocks before its own are not decoded
   * @throws {ArtifactError} when a block does not hold what it says, or the steps ask for more work than the file
   *   is worth
   */
  replaySteps(first?: number): Generator<ReadStep>;
  /** Numbers of the first steps of its blocks: where decoding can begin. */
  readonly blocks: readonly number[];
  /** SHA-256 of its bytes: that of the weights tells nothing of the steps before the last. */
  fingerprint(): Promise<string>;
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
  /** The values of all tensors in model order: trits, other weights, scales of rows; of a delta, differences. */
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
  const network = graphOf(header);
  const opened = {
    version: versionOf(bytes),
    bytes: bytes.length,
    header,
    network,
    sections,
    ...readEnd(bytes, last),
  };
  requireWorth(bytes.length, header, network, opened.steps);
  switch (kind) {
    case 'log':
      return logOf(bytes, body, opened);
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
  return decodeHeader(payload(bytes, first), versionOf(bytes));
}

/**
 * A cursor over a section's payload.
 * @param base - where the bytes, and so the places of the section, begin in the file
 */
export function payload(bytes: Uint8Array, section: Section, base = 0): ByteReader {
  return new ByteReader(bytes, section.name, section.start, section.end, base);
}

/**
 * A finished seed log.
 * @throws {ConfigError} when a reader would refuse it: it asks for more than its bytes are worth
 */
export function encodeSeedLog(header: Header, steps: Iterable<LogStep>, outcome: Outcome): Uint8Array {
  return joined(seedLogParts(header, steps, outcome));
}

/** The same in parts that are made as they are taken, so that neither its steps nor its bytes need be in memory. */
export function* seedLogParts(
  header: Header,
  steps: Iterable<LogStep>,
  outcome: Outcome,
): Generator<Uint8Array> {
  const logHeader: Header = { ...header, kind: 'log' };
  const cost = new StepWork(logHeader);
  let work = 0;
  function* counted(): Generator<LogStep> {
    for (const step of steps) {
      work += cost.before(step.nonzeros) + cost.moves(step.nonzeros, step.coefficients);
      yield step;
    }
  }
  const bytes = yield* partsOf(logHeader, encodeLogBlocks(logHeader, counted()), outcome);
  if (work > workMax(bytes)) {
    throw expected('work', `at most ${workMax(bytes)} units in ${bytes} bytes to rebuild the log`, work);
  }
}

/** A seed pool; the coefficients of each tensor can be read without the others. */
export function encodeSeedPool(header: Header, coefficients: Int16Array, outcome: Outcome): Uint8Array {
  const poolHeader: Header = { ...header, kind: 'pool' };
  const section = encodeSection(SectionType.coefficients, encodePool(poolHeader, coefficients));
  return assemble(poolHeader, [section], outcome);
}

/**
 * Packed weights, a section a tensor.
 * @param weights - the values of all tensors in model order
 * @throws {ConfigError} when one is out of its tensor's range
 */
export function encodePacked(header: Header, weights: Int8Array, outcome: Outcome): Uint8Array {
  const sections = graphOf(header).tensors.map((tensor) =>
    encodeSection(SectionType.trits, encodeTensor(tensor, valuesOf(tensor, weights))),
  );
  return assemble({ ...header, kind: 'packed', directions: [] }, sections, outcome);
}

function assemble(header: Header, sections: readonly Uint8Array[], outcome: Outcome): Uint8Array {
  return joined(partsOf(header, sections, outcome));
}

/** A file in parts; returns its length. */
function* partsOf(
  header: Header,
  sections: Iterable<Uint8Array>,
  outcome: Outcome,
): Generator<Uint8Array, number> {
  let bytes = 0;
  let count = 2;
  const counted = (part: Uint8Array) => {
    bytes += part.length;
    return part;
  };
  yield counted(preamble());
  yield counted(encodeSection(SectionType.header, encodeHeader(header)));
  for (const section of sections) {
    count += 1;
    yield counted(section);
  }
  yield counted(endOf(outcome));
  const values = valuesOfHeader(header, graphOf(header), outcome.steps);
  if (values > valuesMax(bytes)) {
    throw expected('values', `at most ${valuesMax(bytes)} in ${bytes} bytes`, values);
  }
  if (count > SECTIONS_MAX) throw expected('sections', `at most ${SECTIONS_MAX}`, count);
  return bytes;
}

function endOf({ steps, weightsHash }: Outcome): Uint8Array {
  const end = new ByteWriter().integer(steps).raw(fromHex(weightsHash)).finish();
  return encodeSection(SectionType.end, end);
}

/** A finished artifact with another end. */
export function withEnd(file: Uint8Array, outcome: Outcome): Uint8Array {
  const { offset } = readSections(file).at(-1) as Section;
  return joined([file.subarray(0, offset), endOf(outcome)]);
}

/** A file whose parts are there. */
export function joined(parts: Iterable<Uint8Array>): Uint8Array {
  const file = new ByteWriter();
  for (const part of parts) file.raw(part);
  return file.finish();
}

/** What is decoded: the weights if packed, else coefficients, of a log those of all steps. */
function valuesOfHeader({ kind, directions }: Header, { parameters }: Model, steps: number): number {
  if (kind === 'packed') return parameters;
  return sumOf(directions) * (kind === 'log' ? steps : 1);
}

/**
 * Checks that a file is long enough for what it is said to hold.
 * @param bytes - of the file, or of the part of a log that has these steps
 * @param steps - of a log
 * @throws {ArtifactError} when it is not
 */
export function requireWorth(bytes: number, header: Header, network: Model, steps: number): void {
  const values = valuesOfHeader(header, network, steps);
  const fault = (most: number, what: string, got: number) =>
    new ArtifactError(
      `header at byte ${PREAMBLE_BYTES}: expected at most ${most} ${what} in a file of ${bytes} bytes, got ${got}`,
    );
  if (values > valuesMax(bytes)) throw fault(valuesMax(bytes), 'values', values);
  if (header.kind !== 'log') return;
  // What the steps come to beside this is seen when they are decoded.
  const work = steps * new StepWork(header).least;
  if (work > workMax(bytes)) throw fault(workMax(bytes), 'units of work', work);
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

function readEnd(bytes: Uint8Array, section: Section): Outcome {
  const reader = payload(bytes, section);
  const steps = reader.integer('number of steps', STEPS_MAX);
  const hash = toHex(reader.take(32, 'hash of the weights'));
  reader.expectEnd();
  return { steps, weightsHash: hash };
}

/**
 * A log of some blocks.
 * @param bytes - the file up to the last of them, or whole
 * @param body - the blocks, whose checksums are right
 * @param opened - with the steps that they must have together
 * @throws {ArtifactError} when they are other blocks
 */
export function logOf(bytes: Uint8Array, body: readonly Section[], opened: Opened): SeedLog {
  const { header, version } = opened;
  let next = 1;
  const blocks: number[] = [];
  for (const section of body) {
    if (section.type !== SectionType.log) throw unexpected(section, 'a log section');
    const reader = payload(bytes, section);
    const { first, count } = blockRangeOf(reader, version);
    if (first !== next) throw reader.fault(`expected step ${next} first, got ${first}`, section.start);
    blocks.push(next);
    next += count;
  }
  if (next - 1 !== opened.steps) {
    throw atEnd(opened, `expected ${next - 1} steps, as the log has, got ${opened.steps}`);
  }
  return {
    ...opened,
    kind: 'log',
    blocks,
    fingerprint: () => sha256(bytes),
    *replaySteps(from = 1) {
      const meter = new WorkMeter(header, bytes.length);
      for (const [i, section] of body.entries()) {
        if ((blocks[i + 1] ?? next) <= from) continue;
        for (const step of blockSteps(payload(bytes, section), header, version, meter)) {
          if (step.step >= from) yield step;
        }
      }
    },
  };
}

/** The step numbers of a log block of either version. */
export function blockRangeOf(reader: ByteReader, version: Version): BlockRange {
  return version === 1 ? readBlockRangeV1(reader) : readBlockRange(reader);
}

/** The steps of a log block of either version. */
export function blockSteps(
  reader: ByteReader,
  header: Header,
  version: Version,
  meter: WorkMeter,
): Generator<ReadStep> {
  return version === 1 ? readLogBlockV1(reader, header, meter) : readLogBlock(reader, header, meter);
}

function openPool(bytes: Uint8Array, body: readonly Section[], opened: Opened): SeedPool {
  const section = only(body, SectionType.coefficients, 'one section of coefficients', opened);
  const reader = payload(bytes, section);
  const { header, version } = opened;
  const coefficients = version === 1 ? decodePoolV1(reader, header) : decodePool(reader, header);
  return { ...opened, kind: 'pool', coefficients };
}

function openPacked(bytes: Uint8Array, body: readonly Section[], opened: Opened): Packed {
  const { network, version } = opened;
  const { tensors } = network;
  if (version === 1) {
    const section = only(body, SectionType.trits, 'one section of trits', opened);
    return { ...opened, kind: 'packed', weights: decodePackedV1(payload(bytes, section), network) };
  }
  const stray = body.find(({ type }, i) => type !== SectionType.trits || i >= tensors.length);
  if (stray) throw unexpected(stray, `${tensors.length} sections of trits, one a tensor,`);
  if (body.length < tensors.length) {
    throw missing(`${tensors.length} sections of trits, one a tensor`, body.length, opened);
  }
  const weights = new Int8Array(network.parameters);
  for (const [i, tensor] of tensors.entries()) {
    decodeTensor(payload(bytes, body[i]), tensor, valuesOf(tensor, weights));
  }
  return { ...opened, kind: 'packed', weights };
}

/** A view of one tensor's part of the values of all. */
function valuesOf({ offset, rows, columns }: Tensor, weights: Int8Array): Int8Array {
  return weights.subarray(offset, offset + rows * columns);
}

function only(body: readonly Section[], type: SectionType, what: string, opened: Opened): Section {
  const [section, extra] = body;
  if (section?.type !== type) throw section ? unexpected(section, what) : missing(what, 0, opened);
  if (extra) throw unexpected(extra, `${what} alone`);
  return section;
}

function unexpected(section: Section, what: string): ArtifactError {
  return new ArtifactError(`${section.name} at byte ${section.offset}: expected ${what}`);
}

function missing(what: string, got: number, { sections }: Opened): ArtifactError {
  return new ArtifactError(`body at byte ${sections.at(-1)?.offset}: expected ${what}, got ${got || 'none'}`);
}

/** A fault of what the end section says. */
export function atEnd({ sections }: Pick<Opened, 'sections'>, what: string): ArtifactError {
  return new ArtifactError(`end at byte ${sections.at(-1)?.offset}: ${what}`);
}

/** The direction sets and the key of an opened pool. */
export function setsOfPool({ header, network }: SeedPool) {
  return poolSets(network.tensors, parseKey(header.key), header.directions);
}
