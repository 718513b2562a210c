// The gated feed-forward's hidden activations, SiLU by a table, and their gradient. Lengths are multiples
// of four. src/backprop/ops/gated.ts has the definition.

const LIMIT: f32 = 127;
/** Bytes from the beginning of a table to the entry of a gate of 0. */
const CENTER: usize = 127 * 4;

/** The entries of four gates. */
@inline
function lookUp(center: usize, slots: v128): v128 {
  let entries = v128.load32_zero(center + <usize>i32x4.extract_lane(slots, 0));
  entries = v128.load_lane<i32>(center + <usize>i32x4.extract_lane(slots, 1), entries, 1);
  entries = v128.load_lane<i32>(center + <usize>i32x4.extract_lane(slots, 2), entries, 2);
  return v128.load_lane<i32>(center + <usize>i32x4.extract_lane(slots, 3), entries, 3);
}

/** Four gates as offsets into a table. */
@inline
function slotsOf(gate: usize): v128 {
  return i32x4.shl(i32x4.trunc_sat_f32x4_s(v128.load(gate)), 2);
}

/**
 * hidden[length] = clip(SILU[gate] · up · scale, rounded half away from zero).
 * @param silu - [255] f32 integers, of −127…127
 * @param scale - a power of two
 */
export function gated(gate: usize, up: usize, length: i32, silu: usize, scale: f32, hidden: usize): void {
  const center = silu + CENTER;
  const scales = f32x4.splat(scale);
  const half = f32x4.splat(0.5);
  const limits = f32x4.splat(LIMIT);
  const signs = i32x4.splat(i32.MIN_VALUE);
  for (const end = gate + <usize>(length << 2); gate < end; gate += 16, up += 16, hidden += 16) {
    // The product is an integer below 2^21, and scaled it is exact: adding a half and cutting off is, too.
    const product = f32x4.mul(f32x4.mul(lookUp(center, slotsOf(gate)), v128.load(up)), scales);
    const magnitude = f32x4.min(f32x4.floor(f32x4.add(f32x4.abs(product), half)), limits);
    v128.store(hidden, v128.bitselect(product, magnitude, signs));
  }
}

/**
 * dgate and dup where hidden is not clipped.
 * @param slopes - [255] f32, the derivative of the table by its index
 * @param scale - as of `gated`
 */
export function gatedGradient(
  dhidden: usize,
  hidden: usize,
  gate: usize,
  up: usize,
  length: i32,
  silu: usize,
  slopes: usize,
  scale: f32,
  dgate: usize,
  dup: usize,
): void {
  const bytes = <usize>(length << 2);
  const scales = f32x4.splat(scale);
  const limits = f32x4.splat(LIMIT);
  for (let at: usize = 0; at < bytes; at += 16) {
    const inside = f32x4.lt(f32x4.abs(v128.load(hidden + at)), limits);
    const d = v128.and(f32x4.mul(v128.load(dhidden + at), scales), inside);
    const slots = slotsOf(gate + at);
    v128.store(dgate + at, f32x4.mul(f32x4.mul(d, lookUp(slopes + CENTER, slots)), v128.load(up + at)));
    v128.store(dup + at, f32x4.mul(d, lookUp(silu + CENTER, slots)));
  }
}
