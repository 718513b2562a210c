// What the host writes and the kernels read: one Control block, a Tensor for each tensor, an Instruction for each
// operation as it is applied, a Site for each that is probed, a DirectionSet for each set. Field order here and in
// ../plan.ts must agree. All addresses are bytes in the one memory that the threads share; offsets are bytes in a
// thread's scratch.

/** Examples that a thread takes at a time, and rows that a product by tables takes. */
export const TILE: i32 = 32;

@unmanaged
export class Control {
  generation: i32; // atomic: rises by one a job
  job: i32;
  nextTile: i32; // atomic
  tiles: i32;
  running: i32; // atomic: helpers still at work
  rows: i32; // of the batch
  tileRows: i32; // of a tile: TILE examples, or the positions of a window
  inputs: usize; // [rows, inputStride]
  inputStride: i32; // bytes
  labels: usize; // u8 [rows]
  losses: usize; // i32 [rows]
  predictions: usize; // u8 [rows]
  logits: usize; // i32 [rows, C], or 0
  next: usize; // the input of a window that grows by one row
  program: usize; // the first Instruction
  loss: usize; // the last, which is a Loss
  tensors: i32;
  tensor: usize; // Tensor[tensors]
  scratch: usize;
  scratchStride: i32; // bytes a thread
  training: usize; // Training, or 0
  // arguments of the job at hand
  key0: u32;
  key1: u32;
  step: u32;
  cut: i32;
  sets: i32;
  set: usize; // DirectionSet[sets]
  coefficients: usize; // i8 or i16
  // offsets
  words: i32; // u32 [8]
  block: i32; // u8 [2, 256]
  segment: i32; // u8 [48, TILE]
  tables: i32; // i16 [16, 27, TILE]
  tableSums: i32; // i16 [widest, TILE]
}

/** What estimators read beside. */
@unmanaged
export class Training {
  sites: i32;
  site: usize; // Site[sites], those with exact errors first
  layers: i32; // of the `weights` estimator
  layer: usize; // LayerOf[layers]
  probes: i32;
  sigma: i32;
  rewardShift: i32;
  rewardLimit: i32;
  horizon: i32;
  firstRow: i32; // of the whole batch, where this is a shard of it
  alignments: usize; // i32 or f64, [threads, alignmentCount]
  alignmentCount: i32;
  sums: usize; // i32 [threads, …], alignments of each weight
  sumsBytes: i32; // of a thread
  directions: i32;
  directionStart: usize; // i32 [directions + 1], indices of entries
  entries: usize; // Entry[]
  products: i32; // i32 [16, widest]
  columns: i32; // the nonzero inputs of 16 columns, see the alignment of `linear`
  pairs: i32; // i16 [tileRows / 2, widest, 2], inputs of two rows
  errorPairs: i32; // i16 [widest, tileRows / 2, 2]
  errors: i32; // i16 [tileRows, widest]
  signs: i32; // i8 [together, tileRows, widest]
  signSums: i32; // i32 [together, tileRows]
  together: i32; // probes whose signs are drawn together: 1, 2, 4, 8 or 16
  sizes: i32; // i32 [tileRows]
  plus: i32; // i32 [tileRows], losses of a disturbed pass
  minus: i32; // the same, where the losses of a continuation are
  changes: i32; // Change[widest]
  sumsOf: i32; // i32 [widest], of one example
  outputsA: i32; // u8 [widest]
  outputsB: i32;
}

@unmanaged
export class Tensor {
  rows: i32; // M
  columns: i32; // N
  stride: i32; // N rounded up to 16; of scales N
  outputStride: i32; // M rounded up to 16
  values: usize; // i8 [M rounded up to 4, stride]
  off: i32; // what is added to a value there: 1 where trits are stored as 0, 1, 2
  transposed: usize; // i8 [N, outputStride], or 0
  codes: usize; // u16 [segments, M, 16], or 0; see the tables of `linear`
  latents: usize; // i8 [M, N], or 0
  least: i32;
  most: i32;
  trit: i32; // whether a latent is cut to a trit; else it is the value
  drawn: i32; // whether the first latents are drawn
  // of what is aligned along directions: one operation reads it, and u7 inputs
  inputs: usize; // u8 [rows, stride], or 0
  errors: usize; // i16 [rows, outputStride], or 0
  live: usize; // u8 [rows], whether a row has an error that is not 0; or 0
  sums: i32; // of all others: where their alignments begin in a thread's, bytes
}

/** An operation as it is applied to a tile. What it has beside these stands in the class of its folder. */
@unmanaged
export class Instruction {
  next: usize; // or 0
  op: i32;
  // offsets of slots [tileRows, stride]; −1 is the input of the program
  x: i32;
  y: i32;
  z: i32;
  out: i32;
  more: i32; // the second output, or −1 where nobody asks
  columns: i32; // of x
  inputStride: i32;
  units: i32; // of out
  stride: i32;
  tensor: usize; // Tensor, or 0
  other: usize;
}

/** An operation whose sums are probed, or whose errors are known. */
@unmanaged
export class Site {
  instruction: Instruction;
  trained: i32;
  exact: i32;
  site: i32; // names its stream
  active: i32; // offset of u8 [tileRows, stride], or −1 for all units
  size: i32; // 0: of the magnitude, 1: centred, 2: coarse
  horizon: i32; // whether later rows count to a reward
  again: i32; // whether the sums are computed again, not kept
  disturbed: i32; // offset of the disturbed sums
  continuation: usize; // the first Instruction that depends on them
  scales: i32; // of the undisturbed pass, where `normalize` follows and moving and measuring are one; else −1
}

/** One layer of a chain of layers. */
@unmanaged
export class LayerOf {
  linear: Instruction;
  normalize: usize; // Normalize, or 0 for the last
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
  tensor: i32; // its index, or −1 for the whole model
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

/** This thread's view, set by `attach`. */
export let control: Control = changetype<Control>(0);
export let training: Training = changetype<Training>(0);
export let scratchBase: usize = 0;
export let thread: i32 = 0;
/** Of the rows at hand: their inputs and labels, their index in the batch, and their position in a window that grows, or −1. */
export let tileInputs: usize = 0;
export let tileLabels: usize = 0;
export let tileFirst: i32 = 0;
export let grownTo: i32 = -1;

export function attach(address: usize, index: i32): void {
  control = changetype<Control>(address);
  training = changetype<Training>(control.training);
  thread = index;
  scratchBase = control.scratch + <usize>(index * control.scratchStride);
}

/** Takes up a tile; returns its rows. */
export function takeTile(tile: i32): i32 {
  tileFirst = tile * control.tileRows;
  tileInputs = control.inputs + <usize>(tileFirst * control.inputStride);
  tileLabels = control.labels + <usize>tileFirst;
  grownTo = -1;
  return min(control.tileRows, control.rows - tileFirst);
}

/** Takes up the row at a position of a window that grows. */
export function takeNext(position: i32): void {
  tileFirst = 0;
  tileInputs = control.next;
  tileLabels = control.labels;
  grownTo = position;
}

/** Where an operand lies. */
@inline
export function slotAt(operand: i32): usize {
  return operand < 0 ? tileInputs : scratchBase + <usize>operand;
}

/** Where an array lies whose offset in a scratch is this. */
@inline
export function own(offset: i32): usize {
  return scratchBase + <usize>offset;
}

@inline
export function tensorAt(index: i32): Tensor {
  return changetype<Tensor>(control.tensor + <usize>index * offsetof<Tensor>());
}

@inline
export function tensorOf(i: Instruction): Tensor {
  return changetype<Tensor>(i.tensor);
}

@inline
export function setAt(index: i32): DirectionSet {
  return changetype<DirectionSet>(control.set + <usize>index * offsetof<DirectionSet>());
}
