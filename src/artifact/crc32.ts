/**
 * CRC-32 as gzip, PNG and zip use it (IEEE 802.3, reflected polynomial edb88320): the checksum of
 * sections and gzip files. It finds accidents, not forgeries; `weightsHash` is for those.
 */

// TABLE[b] is the remainder of byte b, for one table step a byte.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  return remainder;
});

/**
 * CRC-32 of bytes.
 * @param bytes - any length
 * @param initial - the CRC-32 of what came before these bytes, 0 at the start
 * @returns an integer in 0…2^32−1
 * @example crc32(new TextEncoder().encode('123456789')) // 0xcbf43926
 */
export function crc32(bytes: Uint8Array, initial = 0): number {
  let remainder = ~initial;
  for (let i = 0; i < bytes.length; i++) {
    remainder = TABLE[(remainder ^ bytes[i]) & 0xff] ^ (remainder >>> 8);
  }
  return ~remainder >>> 0;
}
