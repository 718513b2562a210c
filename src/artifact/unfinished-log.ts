/**
 * A log whose run is under way, or was killed: a block a step, and whatever stands at its end is cut off. It may be
 * larger than memory, so its blocks are read one after another, and of its steps none is kept.
 */

import { ArtifactError } from '../errors.js';
import { blockRangeOf, blockSteps, headerOf, payload, requireWorth } from './artifact.js';
import { ByteWriter } from './bytes.js';
import {
  encodeSection,
  PREAMBLE_BYTES,
  preamble,
  readWholeSections,
  SECTION_BYTES_MAX,
  type Section,
  SectionType,
  type Version,
  versionOf,
} from './container.js';
import { encodeHeader, type Header } from './header.js';
import { graphOf } from '../ternary/builders/index.js';
import type { ReadStep } from './seed-log.js';
import { WorkMeter } from './work.js';

/** Bytes that can be read at once, in any order: a file, or bytes in memory. */
export interface Readable {
  /** In bytes. */
  readonly size: number;
  /** The bytes from an offset on, all of them unless the end comes first. */
  read(offset: number, length: number): Uint8Array;
}

/** An unfinished log: its whole steps, and how many bytes they take. */
export interface UnfinishedLog {
  /** Blocks of an older version cannot be appended to: the log is written again first. */
  readonly version: Version;
  readonly header: Header;
  /** Whole steps. */
  readonly steps: number;
  /** Bytes up to the last whole step; what follows was being written when the run died. */
  readonly length: number;
  /**
   * Decodes the steps; the coefficients' array is used again for the next.
   * @throws {ArtifactError} when a block does not hold what it says, or the steps ask for more work than the file
   *   is worth
   */
  replaySteps(): Generator<ReadStep>;
}

/** Read at once: many blocks of a step each. */
const WINDOW_BYTES = 2 ** 20;
/** So many bytes are the whole of a section's head, and more than a whole header. */
const OPENING_BYTES = 2 ** 17;

/** The bytes that open a log that will grow. */
export function openingOfLog(header: Header): Uint8Array {
  const opening = new ByteWriter().raw(preamble());
  return opening.raw(encodeSection(SectionType.header, encodeHeader({ ...header, kind: 'log' }))).finish();
}

/**
 * Reads a log that may end at any byte.
 * @param file - read again for every replay
 * @throws {ArtifactError} when not even the header is whole, or a whole block is not a log's next
 */
export function readUnfinishedLog(file: Uint8Array | Readable): UnfinishedLog {
  const source = file instanceof Uint8Array ? readableBytes(file) : file;
  const opening = source.read(0, OPENING_BYTES);
  const header = headerOf(opening, readWholeSections(opening).sections);
  if (header.kind !== 'log')
    throw new ArtifactError(`header at byte 5: expected a log, got a ${header.kind}`);
  const version = versionOf(opening);
  const network = graphOf(header);
  let steps = 0;
  let length = PREAMBLE_BYTES;
  for (const { bytes, section, base } of wholeSections(source)) {
    const offset = base + section.offset;
    length = offset + section.bytes;
    if (offset === PREAMBLE_BYTES) continue; // the header
    if (section.type !== SectionType.log) {
      throw new ArtifactError(`${section.name} at byte ${offset}: expected a log section`);
    }
    const { first, count } = blockRangeOf(payload(bytes, section, base), version);
    if (first !== steps + 1) {
      throw new ArtifactError(`log at byte ${offset}: expected step ${steps + 1}, got ${first}`);
    }
    steps += count;
    requireWorth(source.size, header, network, steps);
  }
  return {
    ...{ version, header, steps, length },
    *replaySteps() {
      const meter = new WorkMeter(header, source.size);
      for (const { bytes, section, base } of wholeSections(source)) {
        if (section.type === SectionType.log)
          yield* blockSteps(payload(bytes, section, base), header, version, meter);
      }
    },
  };
}

interface Part {
  /** A part of the file that has the section. */
  readonly bytes: Uint8Array;
  /** With places in this part. */
  readonly section: Section;
  /** Where the part begins in the file. */
  readonly base: number;
}

/** The sections of a file up to the first that is not whole. */
function* wholeSections(source: Readable): Generator<Part> {
  let base = 0;
  let wanted = WINDOW_BYTES;
  while (base < source.size) {
    const bytes = source.read(base, wanted);
    // A part from amid the file has no preamble of its own.
    const { sections, length } = readWholeSections(bytes, base > 0);
    for (const section of sections) yield { bytes, section, base };
    if (base + bytes.length >= source.size) return;
    if (sections.length > 0) {
      base += length;
      wanted = WINDOW_BYTES;
    } else if (wanted > SECTION_BYTES_MAX) {
      return; // it is no section, however much of it is read
    } else {
      wanted *= 4;
    }
  }
}

function readableBytes(bytes: Uint8Array): Readable {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}
