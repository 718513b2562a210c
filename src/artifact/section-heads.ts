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

/** Read at once for a head; others that follow closely come with it. */
const WINDOW_BYTES = 256;
/** A head takes at most 6 bytes, the range of a log's block 15 more. */
const HEAD_BYTES = 24;
const CHECKSUM_BYTES = 4;

const NAMES = new Map(Object.entries(SectionType).map(([name, type]) => [type as number, name]));

/** A section's head, and of a log's block the steps that it has. */
export interface SectionHead extends Section {
  readonly range?: { readonly first: number; readonly count: number };
}

/**
 * Lists the sections of a source.
 * @param opening - its first bytes, of any number
 * @throws {ArtifactError} when a head is none, a section does not fit the file, or there are too many
 */
export async function readSectionHeads(
  source: ByteSource,
  opening: Uint8Array,
  version: Version,
): Promise<SectionHead[]> {
  const sections: SectionHead[] = [];
  let part = { start: 0, bytes: opening };
  for (let offset = PREAMBLE_BYTES; offset < source.size;) {
    const wanted = Math.min(HEAD_BYTES, source.size - offset);
    if (offset + wanted > part.start + part.bytes.length) {
      const length = Math.min(WINDOW_BYTES, source.size - offset);
      part = { start: offset, bytes: await source.read(offset, length) };
    }
    const { bytes, start } = part;
    const reader = new ByteReader(bytes, 'section', offset - start, bytes.length, start);
    expectRoom(sections.length, reader);
    const section = readHead(reader, source.size, version);
    sections.push(section);
    offset += section.bytes;
  }
  return sections;
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
