/**
 * The number of the arithmetic: of everything in docs/arithmetic.md and docs/transformer.md that decides bits of
 * what an artifact rebuilds to and computes. Any change of those bits raises it, and renews the golden values.
 */

/** What this version computes; headers name it, or leave it out where it is 1. */
export const ARITHMETIC: number = 1;
