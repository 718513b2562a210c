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

/**
 * The binary16 nearest to a number, halves to even; infinite from 65,520 on.
 * @example toFloat16(1) // 0x3c00
 */
export function toFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65_520) return sign | 0x7c00;
  // The unit of its last place: 2⁻²⁴ for the smallest, 2^(exponent − 10) for all others.
  const exponent = Math.max(-14, size === 0 ? -14 : exponentOf(size));
  const units = roundHalfEven(size * 2 ** (10 - exponent));
  return sign | ((exponent + 14) * 1024 + units); // a carry goes on into the exponent
}

/** ⌊log₂ x⌋ of a normal number x > 0. */
function exponentOf(x: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  return ((view.getUint32(0) >>> 20) & 2047) - 1023;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor + (floor & 1);
}
