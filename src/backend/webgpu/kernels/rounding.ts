/** The two roundings of the integer network in WGSL, half away from zero; see src/ternary/rounding.ts. */

export const ROUNDING = `
fn withSignOf(magnitude: u32, value: i32) -> i32 {
  return select(i32(magnitude), -i32(magnitude), value < 0);
}
fn roundDiv(value: i32, denominator: u32) -> i32 {
  return withSignOf((u32(abs(value)) + (denominator >> 1u)) / denominator, value);
}
fn roundShift(value: i32, shift: u32) -> i32 {
  return withSignOf((u32(abs(value)) + ((1u << shift) >> 1u)) >> shift, value);
}`;
