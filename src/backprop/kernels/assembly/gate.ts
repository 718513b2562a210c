// The gated feed-forward's hidden activations, SiLU by a table, and their gradient. Columns are multiples
// of four. src/backprop/ops/gated.ts has the definition.

/** The largest activation. */
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
 * units[rows] = the power of two by which a row's hidden activations must be coarser than SILU[gate] · up · scale,
 * so that none rounds to more than 127.
 * @param silu - [255] f32 integers, of −127…127
 * @param scale - a power of two
 */
export function hiddenUnits(
  gate: usize,
  up: usize,
  rows: i32,
  columns: i32,
  silu: usize,
  scale: f32,
  units: usize,
): void {
  const center = silu + CENTER;
  for (let row = 0; row < rows; row++) {
    let most = f32x4.splat(0);
    for (const end = gate + <usize>(columns << 2); gate < end; gate += 16, up += 16) {
      most = f32x4.max(most, f32x4.abs(f32x4.mul(lookUp(center, slotsOf(gate)), v128.load(up))));
    }
    const high = max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1));
    const largest = max(high, max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3))) * scale;
    let unit: f32 = 1;
    while (largest >= (LIMIT + 0.5) * unit) unit *= 2;
    store<f32>(units + <usize>(row << 2), unit);
  }
}

/** hidden[rows, columns] = SILU[gate] · up · scale / unit of the row, rounded half away from zero. */
export function gated(
  gate: usize,
  up: usize,
  units: usize,
  rows: i32,
  columns: i32,
  silu: usize,
  scale: f32,
  hidden: usize,
): void {
  const center = silu + CENTER;
  const half = f32x4.splat(0.5);
  const signs = i32x4.splat(i32.MIN_VALUE);
  for (let row = 0; row < rows; row++) {
    const scales = f32x4.splat(scale / load<f32>(units + <usize>(row << 2)));
    for (const end = gate + <usize>(columns << 2); gate < end; gate += 16, up += 16, hidden += 16) {
      // The product is an integer below 2^21, and scaled it is exact: adding a half and cutting off is, too.
      const product = f32x4.mul(f32x4.mul(lookUp(center, slotsOf(gate)), v128.load(up)), scales);
      const magnitude = f32x4.floor(f32x4.add(f32x4.abs(product), half));
      v128.store(hidden, v128.bitselect(product, magnitude, signs));
    }
  }
}

/**
 * dgate and dup.
 * @param slopes - [255] f32, the derivative of the table by its index
 * @param scale - as of `gated`
 */
export function gatedGradient(
  dhidden: usize,
  gate: usize,
  up: usize,
  units: usize,
  rows: i32,
  columns: i32,
  silu: usize,
  slopes: usize,
  scale: f32,
  dgate: usize,
  dup: usize,
): void {
  const bytes = <usize>(columns << 2);
  let first: usize = 0;
  for (let row = 0; row < rows; row++, first += bytes) {
    const scales = f32x4.splat(scale / load<f32>(units + <usize>(row << 2)));
    for (let at = first; at < first + bytes; at += 16) {
      const d = f32x4.mul(v128.load(dhidden + at), scales);
      const slots = slotsOf(gate + at);
      v128.store(dgate + at, f32x4.mul(f32x4.mul(d, lookUp(slopes + CENTER, slots)), v128.load(up + at)));
      v128.store(dup + at, f32x4.mul(d, lookUp(silu + CENTER, slots)));
    }
  }
}
