/**
 * exp, sine and cosine by + − × ÷ alone, which IEEE 754 fixes on every machine, where Math.exp and its like differ
 * between engines. They serve to make integer tables; their errors, below 1e-14, decide no rounding that anybody
 * would see.
 */

const TERMS = 20;

/** e^x, |x| ≤ 2^10. */
export function exp(x: number): number {
  let small = x;
  let halvings = 0;
  while (small > 0.5 || small < -0.5) {
    small /= 2;
    halvings++;
  }
  let term = 1;
  let sum = 1;
  for (let n = 1; n <= TERMS; n++) {
    term = (term * small) / n;
    sum += term;
  }
  for (; halvings > 0; halvings--) sum *= sum;
  return sum;
}

/** [cos x, sin x], |x| ≤ 1. */
export function cosSin(x: number): [cosine: number, sine: number] {
  let term = 1;
  let cosine = 0;
  let sine = 0;
  for (let n = 0; n <= TERMS; n += 2) {
    cosine += term;
    term = (term * x) / (n + 1);
    sine += term;
    term = (-term * x) / (n + 2);
  }
  return [cosine, sine];
}
