// Reads range-coded trits, plainly or by neighbours. ../../range-coder.ts, ../../integer-coder.ts,
// ../../neighbour-coder.ts and ../../linear-predictor.ts define what this computes, to the last bit of every f64.
//
// A decoder's state is [3] u32: bytes taken, range, code. Past the end there are zeros; whoever called sees by
// the bytes taken that there were too few. A model is its probability and the bits it has seen, i32 each.

const RANGE_FLOOR: u32 = 1 << 24;
const PROBABILITY_ONE: i32 = 1 << 28;
const SLOWEST: i32 = 1022;
const MODEL_BYTES: i32 = 8;
/** An encoder leaves out so many bytes at most. */
const LEFT_OUT: i32 = 4;

/** Where a probability of 1 divides a range. */
@inline
function split(model: usize, range: u32): u32 {
  const probability = (load<u32>(model) >> 12) | 1;
  return <u32>((<u64>range * <u64>probability) >> 16);
}

@inline
function learn(model: usize, rates: usize, bit: i32): void {
  const one = load<i32>(model);
  const seen = load<i32>(model, 4);
  const target = select<i32>(PROBABILITY_ONE, 0, bit);
  store<i32>(model, one + <i32>(<f64>(target - one) * load<f64>(rates + (<usize>seen << 3))));
  store<i32>(model, seen + i32(seen < SLOWEST), 4);
}

@inline
function byteAt(at: usize, end: usize): u32 {
  return at < end ? <u32>load<u8>(at) : 0;
}

/** Models as they are before the first bit. */
function freshModels(models: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    store<i32>(models + i * MODEL_BYTES, PROBABILITY_ONE / 2);
    store<i32>(models + i * MODEL_BYTES, 0, 4);
  }
}

/**
 * Trits, each with regard to whether the two before were zero.
 * @param bytes - address of the coded bytes; `end` is that after the last
 * @param state - of the decoder, left as it is after the last trit
 * @param rates - [1023] f64, 1/(n + 2)
 * @param models - room for 5
 * @param trits - [count] i8, receives them
 */
export function readPlain(
  bytes: usize,
  end: usize,
  state: usize,
  rates: usize,
  models: usize,
  count: i32,
  trits: usize,
): void {
  let at = bytes + load<u32>(state);
  let range = load<u32>(state, 4);
  let code = load<u32>(state, 8);
  freshModels(models, 5);
  const negative = models + 4 * MODEL_BYTES;
  let context: i32 = 0;
  for (let i = 0; i < count && at <= end + LEFT_OUT; i++) {
    const model = models + context * MODEL_BYTES;
    let lower = split(model, range);
    const nonzero = i32(code < lower);
    code -= select<u32>(0, lower, nonzero);
    range = select<u32>(lower, range - lower, nonzero);
    learn(model, rates, nonzero);
    while (range < RANGE_FLOOR) {
      code = (code << 8) | byteAt(at++, end);
      range <<= 8;
    }
    context = ((context << 1) | nonzero) & 3;
    let trit: i32 = 0;
    if (nonzero) {
      lower = split(negative, range);
      const bit = i32(code < lower);
      code -= select<u32>(0, lower, bit);
      range = select<u32>(lower, range - lower, bit);
      learn(negative, rates, bit);
      while (range < RANGE_FLOOR) {
        code = (code << 8) | byteAt(at++, end);
        range <<= 8;
      }
      trit = 1 - 2 * bit;
    }
    store<i8>(trits + i, trit);
  }
  store<u32>(state, <u32>(at - bytes));
  store<u32>(state, range, 4);
  store<u32>(state, code, 8);
}

/** Inputs of the two predictors, a lane each: of the value, whose last four are zero, and of "not zero". */
const INPUTS: i32 = 15;
const PAIR_BYTES: i32 = 16;
const ZERO_LEVELS: i32 = 5;
const SHARE_MAX: i32 = 20;
const VALUE_MAX: i32 = 10;
const TOLD_APART_MAX: i32 = 4;
const ZERO_MODELS: i32 = (SHARE_MAX + 1) * ZERO_LEVELS;

@inline
function level(prediction: f64, scale: f64, largest: i32): i32 {
  return max<i32>(0, <i32>min<f64>(<f64>largest, floor<f64>(prediction * scale + 0.5)));
}

@inline
function pairOf(first: f64, second: f64): v128 {
  return f64x2.replace_lane(f64x2.splat(first), 1, second);
}

/** An input of the value, and its magnitude, which is one of "not zero". */
@inline
function magnitudeBeside(input: f64): v128 {
  return pairOf(input, abs<f64>(input));
}

/** The weights of input i. */
@inline
function weightsOf(weights: usize, i: i32): v128 {
  return v128.load(weights + <usize>(i * PAIR_BYTES));
}

/** One more term of the sums of weight · input. */
@inline
function term(sum: v128, input: v128, weights: usize, i: i32): v128 {
  return f64x2.add(sum, f64x2.mul(weightsOf(weights, i), input));
}

/** One more term of the sums of input². */
@inline
function square(sum: v128, input: v128): v128 {
  return f64x2.add(sum, f64x2.mul(input, input));
}

/** Moves the weights of input i. */
@inline
function move(weights: usize, input: v128, step: v128, i: i32): void {
  const moved = f64x2.add(weightsOf(weights, i), f64x2.mul(step, input));
  v128.store(weights + <usize>(i * PAIR_BYTES), moved);
}

/** A trit in the row at hand or, where there is an image, above in it. */
@inline
function neighbour(place: usize, offsets: usize, i: i32): v128 {
  return v128.load(place + load<i32>(offsets + <usize>(i << 2)) * PAIR_BYTES);
}

/**
 * Trits of a matrix, predicted from those around.
 * @param bytes - address of the coded bytes; `end` is that after the last
 * @param state - of the decoder, left as it is after the last trit
 * @param rates - [1023] f64, 1/(n + 2)
 * @param models - room for 116
 * @param offsets - [8] i32, from a trit to its neighbours, in trits; to zeros before the first of a row where there is no image
 * @param work - zeros: weights [15] pairs, columns [columns + 1] pairs
 * @param row - zeros: two rows of `pad` + columns pairs; a trit as it is and its magnitude
 * @param image - whether there is one
 * @param trits - [rows × columns] i8, receives them
 */
export function readByNeighbours(
  bytes: usize,
  end: usize,
  state: usize,
  rates: usize,
  models: usize,
  offsets: usize,
  work: usize,
  row: usize,
  pad: i32,
  rows: i32,
  columns: i32,
  image: i32,
  trits: usize,
): void {
  let at = bytes + load<u32>(state);
  let range = load<u32>(state, 4);
  let code = load<u32>(state, 8);
  freshModels(models, ZERO_MODELS + VALUE_MAX + 1);
  const signs = models + ZERO_MODELS * MODEL_BYTES;
  const weights = work;
  const seen = work + INPUTS * PAIR_BYTES; // sums and nonzeros of the columns
  const rowBytes = (pad + columns) * PAIR_BYTES;
  const learningRates = pairOf(0.004, 0.003);
  let here = row + pad * PAIR_BYTES;
  let above = here + rowBytes;
  const first = row + pad * PAIR_BYTES; // before which there are zeros
  for (let r = 0; r < rows && at <= end + LEFT_OUT; r++) {
    let rowSum: f64 = 0;
    let rowNonzeros: f64 = 0;
    let share = (load<f64>(seen, 8) + 0.5) / <f64>(r + 1);
    for (let column = 0; column < columns; column++) {
      const place = here + column * PAIR_BYTES;
      const imagePlace = image != 0 ? place : first;
      const x0 = neighbour(place, offsets, 0);
      const x1 = neighbour(imagePlace, offsets, 1);
      const x2 = neighbour(imagePlace, offsets, 2);
      const x3 = neighbour(imagePlace, offsets, 3);
      const x4 = neighbour(place, offsets, 4);
      const x5 = neighbour(imagePlace, offsets, 5);
      const x6 = neighbour(imagePlace, offsets, 6);
      const x7 = neighbour(imagePlace, offsets, 7);
      const x8 = v128.load(above + column * PAIR_BYTES);
      const ofThis = seen + column * PAIR_BYTES;
      const x9 = magnitudeBeside(load<f64>(ofThis) / <f64>(r + 2));
      const x10 = magnitudeBeside(rowSum / <f64>(column + 8));
      const next: f64 = column + 1 < columns ? (load<f64>(ofThis, PAIR_BYTES + 8) + 0.5) / <f64>(r + 1) : 0;
      const x11 = pairOf(0, 1);
      const x12 = pairOf(0, share);
      const x13 = pairOf(0, next);
      const x14 = pairOf(0, (rowNonzeros + 2) / <f64>(column + 4));
      share = next;

      let predicted = f64x2.splat(0);
      let power = f64x2.splat(0.5);
      predicted = term(predicted, x0, weights, 0);
      power = square(power, x0);
      predicted = term(predicted, x1, weights, 1);
      power = square(power, x1);
      predicted = term(predicted, x2, weights, 2);
      power = square(power, x2);
      predicted = term(predicted, x3, weights, 3);
      power = square(power, x3);
      predicted = term(predicted, x4, weights, 4);
      power = square(power, x4);
      predicted = term(predicted, x5, weights, 5);
      power = square(power, x5);
      predicted = term(predicted, x6, weights, 6);
      power = square(power, x6);
      predicted = term(predicted, x7, weights, 7);
      power = square(power, x7);
      predicted = term(predicted, x8, weights, 8);
      power = square(power, x8);
      predicted = term(predicted, x9, weights, 9);
      power = square(power, x9);
      predicted = term(predicted, x10, weights, 10);
      power = square(power, x10);
      predicted = term(predicted, x11, weights, 11);
      power = square(power, x11);
      predicted = term(predicted, x12, weights, 12);
      power = square(power, x12);
      predicted = term(predicted, x13, weights, 13);
      power = square(power, x13);
      predicted = term(predicted, x14, weights, 14);
      power = square(power, x14);
      const value = f64x2.extract_lane(predicted, 0);
      const valueLevel = level(abs<f64>(value), 8, VALUE_MAX);
      const shareLevel = level(f64x2.extract_lane(predicted, 1), 20, SHARE_MAX);

      const model = models + (shareLevel * ZERO_LEVELS + min<i32>(TOLD_APART_MAX, valueLevel)) * MODEL_BYTES;
      let lower = split(model, range);
      const nonzero = i32(code < lower);
      code -= select<u32>(0, lower, nonzero);
      range = select<u32>(lower, range - lower, nonzero);
      learn(model, rates, nonzero);
      while (range < RANGE_FLOOR) {
        code = (code << 8) | byteAt(at++, end);
        range <<= 8;
      }
      let trit: i32 = 0;
      if (nonzero) {
        const sign = signs + valueLevel * MODEL_BYTES;
        lower = split(sign, range);
        const opposite = i32(code < lower);
        code -= select<u32>(0, lower, opposite);
        range = select<u32>(lower, range - lower, opposite);
        learn(sign, rates, opposite);
        while (range < RANGE_FLOOR) {
          code = (code << 8) | byteAt(at++, end);
          range <<= 8;
        }
        trit = i32(opposite == 0) == i32(value < 0) ? -1 : 1;
      }

      const target = pairOf(<f64>trit, <f64>nonzero);
      const step = f64x2.div(f64x2.mul(learningRates, f64x2.sub(target, predicted)), power);
      move(weights, x0, step, 0);
      move(weights, x1, step, 1);
      move(weights, x2, step, 2);
      move(weights, x3, step, 3);
      move(weights, x4, step, 4);
      move(weights, x5, step, 5);
      move(weights, x6, step, 6);
      move(weights, x7, step, 7);
      move(weights, x8, step, 8);
      move(weights, x9, step, 9);
      move(weights, x10, step, 10);
      move(weights, x11, step, 11);
      move(weights, x12, step, 12);
      move(weights, x13, step, 13);
      move(weights, x14, step, 14);
      v128.store(place, target);
      v128.store(ofThis, f64x2.add(v128.load(ofThis), target));
      rowSum += <f64>trit;
      rowNonzeros += <f64>nonzero;
      store<i8>(trits + column, trit);
    }
    trits += columns;
    const last = here;
    here = above;
    above = last;
  }
  store<u32>(state, <u32>(at - bytes));
  store<u32>(state, range, 4);
  store<u32>(state, code, 8);
}
