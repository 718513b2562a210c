/** Gaussian numbers for tests, the same for the same seed. */

import seedrandom from 'seedrandom';

/** Standard normal numbers, rounded to float32, by Box and Muller's transform. */
export function gaussians(seed: string, length: number): number[] {
  const uniform = seedrandom(seed);
  return Array.from({ length }, () =>
    Math.fround(Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())),
  );
}
