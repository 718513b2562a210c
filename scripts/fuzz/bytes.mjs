// Bytes put together by hand: no reader's own writer, so that lies can be written.

import { TextEncoder } from 'node:util';

export const concat = (...parts) => new Uint8Array(Buffer.concat(parts));
export const text = (string) => new TextEncoder().encode(string);
/** A view of any typed array as bytes. */
export const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
/** Whether two typed arrays have the same bytes. */
export const same = (a, b) => Buffer.compare(bytesOf(a), bytesOf(b)) === 0;

export function leb128(value) {
  const bytes = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Uint8Array.of(...bytes, left);
}

/** JSON as a header's payload, deflated without compression, which is fast. */
export function headerPayload(json) {
  const { length } = json;
  const block = Uint8Array.of(1, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255);
  return concat(leb128(length), block, json);
}

/** A safetensors file of a header and data. */
export function safetensors(header, data) {
  const json = text(JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return concat(length, json, data);
}
