/**
 * The sections of an artifact by their heads alone: type and length of each are read, payloads are
 * passed over. So checksums are not looked at; whoever reads a payload checks its own.
 */

import { ByteReader } from './bytes.js';
import type { ByteSource } from './byte-source.js';
import { blockRangeOf } from './artifact.js';
import {
  expectRoom,
  PREAMBLE_BYTES,
  SECTION_BYTES_MAX,
  type Section,
  SectionType,
  type Version,
} from './container.js';

/**
 * Read at once for a head; others that follow closely come with it. After so many reads twice as much is read at once,
 * and so on: the 65,534 blocks that a log may have are listed in 288 reads at most, those of 10⁷ steps in some 180,
 * while a file of few sections costs a few kilobytes.
 */
const WINDOW_BYTES = 256;
const READS_A_WINDOW = 16;
/** A head takes at most 6 bytes, the range of a log's block 15 more. */
const HEAD_BYTES = 24;
const CHECKSUM_BYTES = 4;

const NAMES = new Map(Object.entries(SectionType).map(([name, type]) => [type as number, name]));

/** A section's head, and of a log's block the steps that it has. */
export interface SectionHead extends Section {
  readonly range?: { readonly first: number; readonly count: number };
}

/** A source that is read from its start on. */
export class SectionHeads {
  #part: { readonly start: number; readonly bytes: Uint8Array };
  #reads = 0;
  #offset = PREAMBLE_BYTES;
  #count = 0;

  /** @param opening - its first bytes, of any number */
  constructor(
    readonly source: ByteSource,
    opening: Uint8Array,
    readonly version: Version,
  ) {
    this.#part = { start: 0, bytes: opening };
  }

  /**
   * The next section's head; null after the last.
   * @throws {ArtifactError} when a head is none, a section does not fit the file, or there are too many
   */
  async next(): Promise<SectionHead | null> {
    const { source } = this;
    const offset = this.#offset;
    if (offset >= source.size) return null;
    const wanted = Math.min(HEAD_BYTES, source.size - offset);
    if (!this.#has(offset, wanted)) {
      const window = WINDOW_BYTES * 2 ** Math.floor(this.#reads / READS_A_WINDOW);
      const length = Math.min(window, source.size - offset);
      this.#part = { start: offset, bytes: await source.read(offset, length) };
      this.#reads += 1;
    }
    const { bytes, start } = this.#part;
    const reader = new ByteReader(bytes, 'section', offset - start, bytes.length, start);
    expectRoom(this.#count, reader);
    const section = readHead(reader, source.size, this.version);
    this.#count += 1;
    this.#offset += section.bytes;
    return section;
  }

  /** A whole section, from what was read for its head if that has it. */
  async read({ offset, bytes }: Section): Promise<Uint8Array> {
    if (!this.#has(offset, bytes)) return this.source.read(offset, bytes);
    const from = offset - this.#part.start;
    return this.#part.bytes.subarray(from, from + bytes);
  }

  #has(offset: number, length: number): boolean {
    const { start, bytes } = this.#part;
    return offset >= start && offset + length <= start + bytes.length;
  }
}

function readHead(reader: ByteReader, size: number, version: Version): SectionHead {
  const offset = reader.base + reader.offset;
  const type = reader.u8('type') as SectionType;
  const name = NAMES.get(type);
  if (name === undefined)
    throw reader.fault(`expected a known section type, got ${type}`, offset - reader.base);
  reader.section = name;
  const length = reader.integer('length', SECTION_BYTES_MAX);
  const start = reader.base + reader.offset;
  const left = size - start - CHECKSUM_BYTES;
  if (length > left) throw reader.fault(`expected ${length} bytes of payload, got ${Math.max(0, left)}`);
  const end = start + length;
  const section = { type, name, offset, bytes: end + CHECKSUM_BYTES - offset, start, end };
  if (type !== SectionType.log) return section;
  const { bytes, base } = reader;
  const block = new ByteReader(bytes, name, start - base, Math.min(bytes.length, end - base), base);
  return { ...section, range: blockRangeOf(block, version) };
}
