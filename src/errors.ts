/**
 * The errors that ternseed raises on purpose. Each class has a stable `code` for programs
 * and the exit code that the command line gives for it; anything else that is thrown is a
 * defect and ends with exit code 1.
 */

/** The base of every deliberate error: a message for people, a code for programs. */
export abstract class TernseedError extends Error {
  /** Stable name of the kind of fault. */
  abstract readonly code: 'CONFIG' | 'INPUT' | 'ARTIFACT' | 'BACKEND' | 'TARGET';
  /** What the command line exits with. */
  abstract readonly exitCode: number;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** An option or configuration value is unknown, out of range or contradicts another. */
export class ConfigError extends TernseedError {
  readonly code = 'CONFIG';
  readonly exitCode = 2;
}

/** A data file is missing, damaged or not what was asked for. */
export class InputError extends TernseedError {
  readonly code = 'INPUT';
  readonly exitCode = 3;
}

/** An artifact is damaged, foreign or of an unknown version; says the section and the byte offset. */
export class ArtifactError extends TernseedError {
  readonly code = 'ARTIFACT';
  readonly exitCode = 3;
}

/** A backend that was named cannot run here; says why and what to install. */
export class BackendError extends TernseedError {
  readonly code = 'BACKEND';
  readonly exitCode = 4;
}

/** Training ended below the accuracy that was asked for. */
export class TargetError extends TernseedError {
  readonly code = 'TARGET';
  readonly exitCode = 5;
}

/** Fails with what was expected and what was got, in one fixed wording. */
export function expected(name: string, what: string, got: unknown): ConfigError {
  const shown = typeof got === 'string' ? `"${printable(got)}"` : printable(String(got));
  return new ConfigError(`"${name}" expected ${what}, got ${shown}`);
}

/** Text from outside, made safe for a terminal: control characters escaped, at most 200 characters. */
export function printable(text: string): string {
  const escaped = escapeControls(text);
  return escaped.length > 200 ? `${escaped.slice(0, 200)}…` : escaped;
}

/** Control and format characters, line and paragraph separators escaped, but for those in `kept`. */
export function escapeControls(text: string, kept = ''): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    kept.includes(character) ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
