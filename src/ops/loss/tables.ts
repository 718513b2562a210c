/** The tables of the loss, made with + − × ÷ and sqrt alone, which IEEE 754 fixes on every machine. */

/** Fraction bits of an unnormalized probability: the largest logit has 2^20. */
export const WEIGHT_BITS = 20;

/** EXP2[i] = round(2^20 · 2^(−i/256)), i = 0…256. */
export const EXP2 = exp2Table();
/** LOG2[i] = round(2^16 · log₂(1 + i/256)), i = 0…256. */
export const LOG2 = log2Table();

function exp2Table(): Int32Array {
  let root = 0.5;
  for (let halving = 0; halving < 8; halving++) root = Math.sqrt(root); // 2^(−1/256)
  const table = new Int32Array(257);
  let power = 1;
  for (let i = 0; i <= 256; i++) {
    table[i] = Math.floor(power * 2 ** WEIGHT_BITS + 0.5);
    power *= root;
  }
  return table;
}

function log2Table(): Int32Array {
  const table = new Int32Array(257);
  for (let i = 0; i < 256; i++) {
    // The binary digits of log₂ x, one by one: squaring x doubles its logarithm.
    let x = 1 + i / 256;
    let value = 0;
    for (let digit = 0; digit < 24; digit++) {
      x *= x;
      value *= 2;
      if (x >= 2) {
        x /= 2;
        value += 1;
      }
    }
    table[i] = Math.floor(value / 256 + 0.5);
  }
  table[256] = 65_536;
  return table;
}
