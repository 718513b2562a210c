// Reads interleaved trits, four states a vector. ../../interleaved-coder.ts defines what this computes.

/** Frequencies are shares of 2^14; below 2^16 a state takes in a word. */
const FREQUENCY_BITS: i32 = 14;

/**
 * Reads groups of sixteen trits.
 * @param words - address of the words; 48 readable bytes must follow their end
 * @param end - of the words
 * @param states - [16] u32, left as they are after the last group
 * @param zero - [columns + 16] i32, frequency of zero in each column, from the first again after the last
 * @param upper - [columns + 16] i32, that of zero and +1 together
 * @param patterns - [16] swizzles: that of a set of lanes gives them words in order
 * @param trits - [16 · groups] i8, receives them
 * @returns the address after the last word taken, or 0 when there were too few
 */
export function readTrits(
  words: usize,
  end: usize,
  states: usize,
  zero: usize,
  upper: usize,
  patterns: usize,
  columns: i32,
  groups: i32,
  trits: usize,
): usize {
  let at = words;
  let s0 = v128.load(states);
  let s1 = v128.load(states, 16);
  let s2 = v128.load(states, 32);
  let s3 = v128.load(states, 48);
  let column: i32 = 0;
  for (let group = 0; group < groups; group++) {
    const z = zero + (<usize>column << 2);
    const u = upper + (<usize>column << 2);
    const t0 = tritsOf(s0, v128.load(z), v128.load(u));
    s0 = step(s0, v128.load(z), v128.load(u));
    let needed = lanesBelow(s0);
    s0 = refill(s0, at, patterns, needed);
    at += <usize>(popcnt(needed) << 1);
    const t1 = tritsOf(s1, v128.load(z, 16), v128.load(u, 16));
    s1 = step(s1, v128.load(z, 16), v128.load(u, 16));
    needed = lanesBelow(s1);
    s1 = refill(s1, at, patterns, needed);
    at += <usize>(popcnt(needed) << 1);
    const t2 = tritsOf(s2, v128.load(z, 32), v128.load(u, 32));
    s2 = step(s2, v128.load(z, 32), v128.load(u, 32));
    needed = lanesBelow(s2);
    s2 = refill(s2, at, patterns, needed);
    at += <usize>(popcnt(needed) << 1);
    const t3 = tritsOf(s3, v128.load(z, 48), v128.load(u, 48));
    s3 = step(s3, v128.load(z, 48), v128.load(u, 48));
    needed = lanesBelow(s3);
    s3 = refill(s3, at, patterns, needed);
    at += <usize>(popcnt(needed) << 1);
    if (at > end) return 0;
    const low = i16x8.narrow_i32x4_s(t0, t1);
    const high = i16x8.narrow_i32x4_s(t2, t3);
    v128.store(trits + (<usize>group << 4), i8x16.narrow_i16x8_s(low, high));
    column += 16;
    while (column >= columns) column -= columns;
  }
  v128.store(states, s0);
  v128.store(states, s1, 16);
  v128.store(states, s2, 32);
  v128.store(states, s3, 48);
  return at;
}

@inline
function slotsOf(states: v128): v128 {
  return v128.and(states, i32x4.splat((1 << FREQUENCY_BITS) - 1));
}

/** −1, 0 and +1 of four states. */
@inline
function tritsOf(states: v128, zero: v128, upper: v128): v128 {
  const slots = slotsOf(states);
  return i32x4.sub(i32x4.shl(i32x4.ge_s(slots, upper), 1), i32x4.ge_s(slots, zero));
}

/** The states without their last trit. */
@inline
function step(states: v128, zero: v128, upper: v128): v128 {
  const slots = slotsOf(states);
  const nonzero = i32x4.ge_s(slots, zero);
  const negative = i32x4.ge_s(slots, upper);
  const start = v128.bitselect(upper, v128.and(nonzero, zero), negative);
  const above = v128.bitselect(i32x4.splat(1 << FREQUENCY_BITS), v128.bitselect(upper, zero, nonzero), negative);
  const whole = i32x4.mul(i32x4.sub(above, start), i32x4.shr_u(states, FREQUENCY_BITS));
  return i32x4.add(whole, i32x4.sub(slots, start));
}

/** A bit for each lane that is to take in a word. */
@inline
function lanesBelow(states: v128): i32 {
  return i32x4.bitmask(i32x4.lt_u(states, i32x4.splat(1 << 16)));
}

@inline
function refill(states: v128, at: usize, patterns: usize, needed: i32): v128 {
  const taken = i8x16.swizzle(v128.load_ext<u16>(at), v128.load(patterns + (<usize>needed << 4)));
  const filled = v128.or(i32x4.shl(states, 16), taken);
  return v128.bitselect(filled, states, i32x4.lt_u(states, i32x4.splat(1 << 16)));
}

export { readByNeighbours, readPlain } from './range-coded';
