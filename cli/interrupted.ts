/** Thrown when the user has stopped the work; everything was saved before. */
export class Interrupted extends Error {
  readonly exitCode = 130;
}
