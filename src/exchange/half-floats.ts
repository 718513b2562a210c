/** Numbers of sixteen bits, which JavaScript does not read everywhere: IEEE 754 binary16, and bfloat16. */

/**
 * The number of a binary16.
 * @example float16(0x3c00) // 1
 */
export function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const word = new DataView(new ArrayBuffer(4));

/**
 * The number of a bfloat16, the upper half of a float32.
 * @example bfloat16(0x3f80) // 1
 */
export function bfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}
