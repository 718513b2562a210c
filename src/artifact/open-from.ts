/**
 * Opening an artifact from a source that is read in ranges: what it says of itself is read first, and
 * its body when somebody wants it. Of a file far away, `inspect` costs a few kilobytes, and a tensor of
 * packed weights its own section.
 */

import { ArtifactError } from '../errors.js';
import type { Graph } from '../ternary/graph.js';
import {
  type Artifact,
  type ArtifactKind,
  headerOf,
  logOf,
  openArtifact,
  type Opened,
  requireWorth,
  type SeedLog,
} from './artifact.js';
import type { ByteSource } from './byte-source.js';
import {
  openSection,
  PREAMBLE_BYTES,
  readSections,
  type Section,
  SectionType,
  type Version,
  versionOf,
} from './container.js';
import { type Header, HEADER_BYTES_MAX } from './header.js';
import { graphOf } from '../ternary/builders/index.js';
import { requireBase } from './delta.js';
import { decodePool } from './pool.js';
import { rebuildPart, type Rows, tensorOf } from './rebuild.js';
import { type SectionHead, SectionHeads } from './section-heads.js';
import { decodeTensor } from './tensor-coder.js';
import { toHex } from './weights-hash.js';
import { STEPS_MAX } from '../random/directions.js';
import type { Watch } from '../watch.js';

/** Read first: preamble and header of nearly every artifact. */
const OPENING_BYTES = 4096;
/** Of a header's section, beside its JSON if that cannot be shortened: head, checksum, deflate's overhead. */
const HEADER_OVERHEAD_BYTES = 128;
/** A weightsHash. */
const HASH_BYTES = 32;

/** What an artifact says of itself, and the way to the rest. */
export interface DistantArtifact {
  readonly kind: ArtifactKind;
  readonly version: Version;
  readonly bytes: number;
  readonly header: Header;
  readonly network: Graph;
  readonly sections: readonly Section[];
  readonly steps: number;
  readonly weightsHash: string;
  /**
   * Fetches the body and opens it.
   * @param step - of a log: the last step that is needed. What follows its block is not fetched, and the
   *   log that is opened ends there
   * @throws {ArtifactError} as {@link openArtifact} does
   */
  load(step?: number): Promise<Artifact>;
  /**
   * Rebuilds one tensor as {@link rebuildTensor} of ternseed/artifact does, and fetches no more than it
   * needs: of packed weights the tensor's section, of a pool the section of its coefficients, of a log the
   * blocks up to the step. The checksums of what is fetched are checked; the hash is of all tensors.
   * @param step - of a log, the step after which the weights are wanted; the last if left out
   * @param base - of a delta, the weights of its base, all of them
   * @param watch - a signal to give up by, and progress in steps of a log
   */
  rebuildTensor(name: string, step?: number, base?: Int8Array, watch?: Watch): Promise<Int8Array>;
  /** Rebuilds some rows of a tensor, of what {@link DistantArtifact.rebuildTensor} fetches. */
  rebuildRows(name: string, rows: Rows, step?: number, base?: Int8Array, watch?: Watch): Promise<Int8Array>;
}

/**
 * Opens an artifact by its header, the heads of its sections and its end. Checksums of what is between
 * are checked when it is fetched.
 * @param source - the caller closes it, when nothing is to be fetched any more
 * @throws {ArtifactError} naming the section and the offset of the fault
 * @throws {InputError} when the source cannot be read
 * @example
 * const artifact = await openArtifactFrom(await urlSource('https://example.org/mnist.tern'));
 * const weights = await artifact.rebuildTensor('layer0.weight');
 */
export async function openArtifactFrom(source: ByteSource): Promise<DistantArtifact> {
  const opening = await source.read(0, Math.min(source.size, OPENING_BYTES));
  readSections(opening.subarray(0, PREAMBLE_BYTES)); // a file that is no artifact is named so before anything else
  const version = versionOf(opening);
  const heads = new SectionHeads(source, opening, version);
  const first = await heads.next();
  if (first?.type !== SectionType.header) {
    throw new ArtifactError(
      `header at byte ${first?.offset ?? source.size}: expected a header section first`,
    );
  }
  const header = await readHeader(source, opening, first);
  const { kind } = header;
  if (kind === 'checkpoint') {
    throw new ArtifactError(
      'header at byte 5: expected an artifact, got the checkpoint of an unfinished run',
    );
  }
  const network = graphOf(header);
  const parts = kind === 'packed' && version > 1 ? network.tensors.length : 1;
  // Of what is no log, the first section too many is enough to refuse it.
  const most = kind === 'log' ? Number.POSITIVE_INFINITY : parts + 3;
  const sections = [first];
  for (let next = await heads.next(); next; next = sections.length < most ? await heads.next() : null) {
    sections.push(next);
  }
  const last = sections[sections.length - 1];
  if (last.type !== SectionType.end && sections.length < most) {
    throw new ArtifactError(
      `end at byte ${source.size}: expected an end section, got none: the file is cut short or the run unfinished`,
    );
  }
  const body = sections.slice(1, -1);
  checkBody(kind, body, parts, last);
  const outcome = await readEnd(heads, last);
  if (kind === 'log') checkSteps(body, outcome.steps, last);
  requireWorth(source.size, header, network, outcome.steps);
  const about = { version, bytes: source.size, header, network, sections, ...outcome };

  async function load(step?: number): Promise<Artifact> {
    const block = step === undefined ? undefined : body.find((one) => one.range && lastOf(one.range) >= step);
    if (!block?.range || lastOf(block.range) === outcome.steps) {
      return openArtifact(await source.read(0, source.size));
    }
    const bytes = await source.read(0, block.offset + block.bytes);
    return partOfLog(about, bytes, lastOf(block.range));
  }

  /** An artifact of what one tensor needs. */
  const loadFor = async (name: string, step: number): Promise<Artifact> => {
    const tensor = tensorOf(network, name);
    if (kind === 'log') return load(step);
    if (version === 1) return load();
    const index = network.tensors.indexOf(tensor);
    const section = body[kind === 'packed' ? index : 0];
    const reader = openSection(await source.read(section.offset, section.bytes), section);
    if (kind === 'pool') return { ...about, kind, coefficients: decodePool(reader, header, index) };
    const parameters = tensor.rows * tensor.columns;
    const weights = new Int8Array(parameters);
    decodeTensor(reader, tensor, weights);
    const part = { ...network, tensors: [{ ...tensor, offset: 0 }], parameters };
    return { ...about, kind, weights, network: part };
  };
  /** Of a base's weights those that a part of the artifact has. */
  const baseFor = (part: Artifact, name: string, base: Int8Array): Int8Array => {
    requireBase({ header, network }, base);
    if (part.network.tensors.length === network.tensors.length) return base;
    const { offset, rows, columns } = tensorOf(network, name);
    return base.subarray(offset, offset + rows * columns);
  };
  const rebuildHere = async (
    name: string,
    rows: Rows | null,
    step = outcome.steps,
    base?: Int8Array,
    watch?: Watch,
  ): Promise<Int8Array> => {
    const part = await loadFor(name, step);
    return rebuildPart(part, name, rows, step, base && baseFor(part, name, base), watch);
  };
  return {
    ...about,
    kind,
    load,
    rebuildTensor: (name, step, base, watch) => rebuildHere(name, null, step, base, watch),
    rebuildRows: (name, rows, step, base, watch) => rebuildHere(name, rows, step, base, watch),
  };
}

type Range = NonNullable<SectionHead['range']>;

function lastOf({ first, count }: Range): number {
  return first + count - 1;
}

async function readHeader(source: ByteSource, opening: Uint8Array, section: SectionHead): Promise<Header> {
  const length = section.offset + section.bytes;
  if (section.bytes > HEADER_BYTES_MAX + HEADER_OVERHEAD_BYTES) {
    throw new ArtifactError(
      `header at byte ${section.offset}: expected at most ${HEADER_BYTES_MAX} bytes, got ${section.bytes}`,
    );
  }
  const bytes = length <= opening.length ? opening.subarray(0, length) : await source.read(0, length);
  return headerOf(bytes, readSections(bytes));
}

async function readEnd(heads: SectionHeads, section: SectionHead) {
  const { offset, start, end, name } = section;
  if (end - start > HASH_BYTES + 5) {
    throw new ArtifactError(`${name} at byte ${offset}: expected steps and a hash, got more`);
  }
  const reader = openSection(await heads.read(section), section);
  const steps = reader.integer('number of steps', STEPS_MAX);
  const weightsHash = toHex(reader.take(HASH_BYTES, 'hash of the weights'));
  reader.expectEnd();
  return { steps, weightsHash };
}

/** The sections between header and end must be those of the kind. */
function checkBody(kind: ArtifactKind, body: readonly SectionHead[], parts: number, end: Section): void {
  const wanted = { log: SectionType.log, pool: SectionType.coefficients, packed: SectionType.trits }[kind];
  const stray = body.find(({ type }, i) => type !== wanted || (kind !== 'log' && i >= parts));
  if (stray) throw new ArtifactError(`${stray.name} at byte ${stray.offset}: expected the body of a ${kind}`);
  if (kind !== 'log' && body.length < parts)
    throw new ArtifactError(`end at byte ${end.offset}: expected the body of a ${kind} first`);
}

/** The blocks of a log must be those of its steps. */
function checkSteps(body: readonly SectionHead[], steps: number, end: Section): void {
  let next = 1;
  for (const { name, offset, range } of body) {
    const { first, count } = range as Range;
    if (first !== next) {
      throw new ArtifactError(`${name} at byte ${offset}: expected step ${next} first, got ${first}`);
    }
    next += count;
  }
  if (next - 1 !== steps) {
    throw new ArtifactError(
      `end at byte ${end.offset}: expected ${next - 1} steps, as the log has, got ${steps}`,
    );
  }
}

/** A log of which only the first blocks are here: one of fewer steps, whose last are not those of its hash. */
function partOfLog(about: Opened, bytes: Uint8Array, steps: number): SeedLog {
  requireWorth(bytes.length, about.header, about.network, steps);
  return logOf(bytes, readSections(bytes).slice(1), { ...about, steps });
}
