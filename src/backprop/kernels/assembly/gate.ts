// The gated feed-forward's hidden activations, SiLU by a table, and their gradient; and the embedding's.
// Lengths are multiples of four. src/backprop/ops has the definitions.

const LIMIT: i32 = 127;

/**
 * hidden[length] = clip(roundShift(SILU[gate] · up, shift)).
 * @param silu - [255] f32 integers, of −127…127
 */
export function gated(gate: usize, up: usize, length: i32, silu: usize, shift: i32, hidden: usize): void {
  const center = silu + LIMIT * 4;
  const half = (1 << shift) >> 1;
  for (const end = gate + <usize>(length << 2); gate < end; gate += 4, up += 4, hidden += 4) {
    const slot = <i32>load<f32>(gate);
    const product = <i32>(load<f32>(center + <usize>(slot << 2)) * load<f32>(up));
    const magnitude = min(LIMIT, (abs(product) + half) >> shift);
    store<f32>(hidden, <f32>(product < 0 ? -magnitude : magnitude));
  }
}

/**
 * dgate and dup where hidden is not clipped.
 * @param slopes - [255] f32, the derivative of the table by its index
 * @param scale - 2^−shift
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
  const center = silu + LIMIT * 4;
  const slope0 = slopes + LIMIT * 4;
  const bytes = <usize>(length << 2);
  for (let at: usize = 0; at < bytes; at += 4) {
    const d: f32 = abs(load<f32>(hidden + at)) < <f32>LIMIT ? load<f32>(dhidden + at) * scale : 0;
    const slot = <usize>(<i32>load<f32>(gate + at) << 2);
    store<f32>(dgate + at, d * load<f32>(slope0 + slot) * load<f32>(up + at));
    store<f32>(dup + at, d * load<f32>(center + slot));
  }
}
