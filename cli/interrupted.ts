/** The exit code of work that the user stopped, by whichever signal. */
export const INTERRUPTED = 130;

/** Thrown when the user has stopped the work; everything was saved before. */
export class Interrupted extends Error {
  readonly exitCode = INTERRUPTED;
}
