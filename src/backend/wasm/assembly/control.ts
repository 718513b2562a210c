// What the host writes and the kernels read: one Control block, a Layer for each weight
// matrix, a DirectionSet for each set. Field order here and in ../memory-plan.ts must agree.
// All addresses are bytes in the one memory that the threads share.

/** Examples that a thread takes at a time; rows of every activation tile. */
export const TILE: i32 = 32;

@unmanaged
export class Control {
  generation: i32; // atomic: rises by one a job
  job: i32;
  nextTile: i32; // atomic
  tiles: i32;
  running: i32; // atomic: helpers still at work
  batch: i32; // B
  batchStride: i32; // B rounded up to TILE, room for batchMax
  layers: i32;
  layer: usize; // Layer[layers]
  gain: i32;
  centred: i32;
  logitScale: i32;
  classes: i32;
  exp2: usize; // i32[257]
  log2: usize; // i32[257]
  inputs: usize; // u8 [batchStride, pad16(N)]
  labels: usize; // u8 [batchStride]
  losses: usize; // i32 [batchStride]
  predictions: usize; // u8 [batchStride]
  logits: usize; // i32 [batchStride, pad16(C)]
  scratch: usize;
  scratchStride: i32; // bytes a thread
  // arguments of the job at hand
  key0: u32;
  key1: u32;
  step: u32;
  probes: i32;
  sigma: i32;
  rewardShift: i32;
  rewardLimit: i32;
  firstRow: i32; // of the whole batch, where this is a shard of it
  cut: i32;
  sets: i32;
  set: usize; // DirectionSet[sets]
  coefficients: usize; // i8 or i16
  alignments: usize; // i32 or f64, [threads, alignmentCount]
  alignmentCount: i32;
  directions: i32;
  directionStart: usize; // i32 [directions + 1], indices of entries
  entries: usize; // Entry[]
  text: usize; // Text of text.ts, or 0
}

@unmanaged
export class Layer {
  rows: i32; // M
  columns: i32; // N
  inputStride: i32; // N rounded up to 16
  paddedRows: i32; // M rounded up to 4
  outputStride: i32; // M rounded up to 16
  weights: usize; // i8 [paddedRows, inputStride]
  transposed: usize; // i8 [N, outputStride], or 0
  codes: usize; // u16 [segments, M, 16], or 0; see tables.ts
  latents: usize; // i8 [M, N], or 0
  shift: i32; // fraction bits of the weights
  wide: i32; // whether a weight takes more than a trit, so that its products fill an i16
  rowScales: usize; // i32 [outputStride], or 0
  inputs: usize; // u8 [batchStride, inputStride], or 0
  errors: usize; // i16 [batchStride, outputStride], or 0
  live: usize; // u8 [batchStride], whether an example has an error that is not 0; or 0
  // offsets in a thread's scratch
  sums: i32; // i32 [TILE, outputStride]
  outputs: i32; // u8 [TILE, outputStride]
  scales: i32; // Scale[TILE]
}

/** Offsets in a thread's scratch that belong to no layer; they stand before the layers' own. */
@unmanaged
export class Scratch {
  losses: i32; // i32 [TILE], of a disturbed pass
  rewards: i32; // i32 [probes, TILE]
  signSums: i32; // i32 [probes, TILE]
  sums: i32; // i32 [TILE, widest]
  outputsA: i32; // u8 [TILE, widest]
  outputsB: i32;
  signs: i32; // i8 [probes, TILE, widest]
  products: i32; // i32 [16, widest]
  pairs: i32; // the nonzero inputs of 16 columns, see alignment.ts
  changes: i32; // Change[widest]
  words: i32; // u32 [8]
  block: i32; // u8 [2, 256]
  segment: i32; // u8 [48, TILE]
  tables: i32; // i16 [16, 27, TILE]
  tableSums: i32; // i16 [widest, TILE]
}

/** One nonzero of a direction, of the `weights` estimator. */
@unmanaged
export class Entry {
  layer: i32;
  row: i32;
  column: i32;
  sign: i32;
}

@unmanaged
export class DirectionSet {
  key0: u32;
  key1: u32;
  step: u32;
  group: i32;
  tensor: i32; // index of the layer, or −1 for the whole model
  size: i32;
  directions: i32; // K
  touched: i32;
  highs: i32;
  lows: i32;
  round0: u32;
  round1: u32;
  round2: u32;
  round3: u32;
  round4: u32;
  round5: u32;
  first: i32; // index of its first coefficient
  shift: i32; // alignmentShift
}

/** Sums behind the normalization of one example, kept for incremental updates. */
@unmanaged
export class Scale {
  sum: i32;
  absolute: i32;
  mean: i32;
  meanAbs: i32;
}

/** This thread's view, set by `attach`. */
export let control: Control = changetype<Control>(0);
export let scratchBase: usize = 0;
export let thread: i32 = 0;

export function attach(address: usize, index: i32): void {
  control = changetype<Control>(address);
  thread = index;
  scratchBase = control.scratch + <usize>(index * control.scratchStride);
}

@inline
export function layerAt(index: i32): Layer {
  return changetype<Layer>(control.layer + <usize>index * offsetof<Layer>());
}

@inline
export function setAt(index: i32): DirectionSet {
  return changetype<DirectionSet>(control.set + <usize>index * offsetof<DirectionSet>());
}

@inline
export function scratchOffsets(): Scratch {
  return changetype<Scratch>(scratchBase);
}
