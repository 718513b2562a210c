/**
 * A second implementation of the container's writing, with zlib's CRC-32 and deflate, that writes
 * whatever it is told: for artifacts that lie although every checksum is right.
 */

import { crc32, deflateRawSync } from 'node:zlib';
import { readSections } from '../../src/artifact/container.js';

/** A section as its type's letter and its payload. */
export interface RawSection {
  readonly type: string;
  readonly payload: Uint8Array;
}

/** The sections of an undamaged artifact or unfinished run. */
export function splitSections(bytes: Uint8Array): RawSection[] {
  return readSections(bytes).map(({ type, start, end }) => ({
    type: String.fromCharCode(type),
    payload: bytes.slice(start, end),
  }));
}

/** An artifact of any sections, each with the checksum that it should have. */
export function joinSections(sections: readonly RawSection[], version = 2): Uint8Array {
  return concat(
    text('TERN'),
    Uint8Array.of(version),
    ...sections.map(({ type, payload }) => section(type, payload)),
  );
}

/** One section; `length` lies where it is not the payload's. */
export function section(type: string, payload: Uint8Array, length = leb128(payload.length)): Uint8Array {
  const body = concat(text(type), length, payload);
  const checksum = new Uint8Array(4);
  new DataView(checksum.buffer).setUint32(0, crc32(body), true);
  return concat(body, checksum);
}

/** A header's payload: any JSON, as a value or as text, deflated without the dictionary. */
export function headerPayload(json: unknown, declared?: number): Uint8Array {
  const bytes = typeof json === 'string' ? text(json) : text(JSON.stringify(json));
  return concat(leb128(declared ?? bytes.length), new Uint8Array(deflateRawSync(bytes)));
}

/** An integer in its shortest LEB128 form. */
export function leb128(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Uint8Array.of(...bytes, left);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
