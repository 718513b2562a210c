/**
 * The container: a magic number, a version, and sections, each with a checksum of its own.
 * docs/format.md is the specification.
 *
 *   file    = "TERN" version:u8 section*
 *   section = type:u8 length:LEB128 payload crc32:u32 (over type, length and payload)
 */

import { ArtifactError } from '../errors.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { crc32 } from './crc32.js';
import { RangeDecoder } from './range-coder.js';

/** The first bytes of every artifact. */
export const MAGIC = Uint8Array.of(0x54, 0x45, 0x52, 0x4e);
/** The version that is written. */
export const VERSION = 2;
/** The versions that are read. */
export const VERSIONS = [1, VERSION] as const;
export type Version = (typeof VERSIONS)[number];
/** Bytes before the first section. */
export const PREAMBLE_BYTES = MAGIC.length + 1;
/** A section's payload may not be longer: more than any model within the limits needs. */
export const SECTION_BYTES_MAX = 2 ** 28;
/**
 * A finished artifact may not have more sections, so that a list of them takes little room beside any
 * file: a log of all steps that there may be has 4,883 blocks, one that was edited some more.
 */
export const SECTIONS_MAX = 2 ** 16;

/** Section types: a letter each. */
export const SectionType = {
  header: 0x48, // H
  coefficients: 0x43, // C
  log: 0x4c, // L
  trits: 0x54, // T
  state: 0x53, // S
  end: 0x45, // E
} as const;
export type SectionType = (typeof SectionType)[keyof typeof SectionType];

const NAMES: Record<SectionType, string> = {
  72: 'header',
  67: 'coefficients',
  76: 'log',
  84: 'trits',
  83: 'state',
  69: 'end',
};

/** One section of a file. */
export interface Section {
  readonly type: SectionType;
  readonly name: string;
  /** Of its first byte, in the file. */
  readonly offset: number;
  /** In the file, with type, length and checksum. */
  readonly bytes: number;
  /** Where the payload begins and ends in the file. */
  readonly start: number;
  readonly end: number;
}

/** The bytes that open a file. */
export function preamble(): Uint8Array {
  return Uint8Array.of(...MAGIC, VERSION);
}

/** One section as it is written. */
export function encodeSection(type: SectionType, payload: Uint8Array): Uint8Array {
  const writer = new ByteWriter().u8(type).integer(payload.length).raw(payload);
  return writer.u32(crc32(writer.finish())).finish();
}

/**
 * Checks the preamble and lists the sections with their checksums verified.
 * @throws {ArtifactError} when the bytes are not an artifact, of another version, or damaged
 */
export function readSections(bytes: Uint8Array): Section[] {
  const reader = openPreamble(bytes);
  const sections: Section[] = [];
  while (reader.left > 0) {
    expectRoom(sections.length, reader);
    sections.push(readSection(reader));
  }
  return sections;
}

/**
 * Checks that a list of sections may have one more.
 * @param reader - where that one begins
 * @throws {ArtifactError} when it may not
 */
export function expectRoom(sections: number, reader: ByteReader): void {
  if (sections < SECTIONS_MAX) return;
  reader.section = 'section';
  throw reader.fault(`expected at most ${SECTIONS_MAX} sections, got more`);
}

/**
 * A cursor over the payload of a section that was fetched alone.
 * @param bytes - the section's, from its type to its checksum
 * @param section - what its head said
 * @throws {ArtifactError} when the checksum does not match
 */
export function openSection(bytes: Uint8Array, { name, offset, start, end }: Section): ByteReader {
  const reader = new ByteReader(bytes, name, start - offset, end - offset, offset);
  const checksum = new ByteReader(bytes, name, end - offset, bytes.length, offset).u32('checksum');
  if (checksum !== crc32(bytes.subarray(0, end - offset))) throw checksumFault(reader, 0);
  return reader;
}

function checksumFault(reader: ByteReader, offset: number): ArtifactError {
  return reader.fault('the checksum does not match: the section is damaged', offset);
}

/**
 * The sections of a file that may end anywhere, as a killed run leaves it.
 * @param amid - the bytes begin with a section, not with the preamble
 * @returns the whole sections from the start, and the length of the part they make up
 */
export function readWholeSections(bytes: Uint8Array, amid = false): { sections: Section[]; length: number } {
  const reader = amid ? new ByteReader(bytes, 'section') : openPreamble(bytes);
  const sections: Section[] = [];
  let length = reader.offset;
  try {
    while (reader.left > 0) {
      sections.push(readSection(reader));
      length = reader.offset;
    }
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
  }
  return { sections, length };
}

/** A range decoder over the next bytes of a section's payload; over the rest if no length is given. */
export function decoderOf(reader: ByteReader, length = reader.left): RangeDecoder {
  const base = reader.base + reader.offset;
  return new RangeDecoder(reader.take(length, 'coded bytes'), reader.section, base);
}

/** The version of a file whose sections were read. */
export function versionOf(bytes: Uint8Array): Version {
  return bytes[MAGIC.length] as Version;
}

function openPreamble(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes, 'preamble');
  const magic = reader.take(MAGIC.length, 'magic number');
  if (magic.some((byte, i) => byte !== MAGIC[i])) {
    throw reader.fault('expected "TERN", got something else: not a ternseed artifact', 0);
  }
  const version = reader.u8('version');
  if (!(VERSIONS as readonly number[]).includes(version)) {
    throw reader.fault(
      `expected version ${VERSIONS.join(' or ')}, got ${version}: use the ternseed that wrote it`,
      MAGIC.length,
    );
  }
  return reader;
}

function readSection(reader: ByteReader): Section {
  const offset = reader.offset;
  reader.section = 'section';
  const type = reader.u8('type');
  const name = NAMES[type as SectionType];
  if (name === undefined) throw reader.fault(`expected a known section type, got ${type}`, offset);
  reader.section = name;
  const length = reader.integer('length', SECTION_BYTES_MAX);
  const start = reader.offset;
  reader.take(length, 'payload');
  const end = reader.offset;
  const checksum = reader.u32('checksum');
  if (checksum !== crc32(reader.bytes.subarray(offset, end))) {
    throw checksumFault(reader, offset);
  }
  return { type: type as SectionType, name, offset, bytes: reader.offset - offset, start, end };
}
