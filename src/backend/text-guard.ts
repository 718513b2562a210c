/** The checks that every backend makes of a placed transformer before work starts, in one wording. */

import { ConfigError, expected } from '../errors.js';
import { type Transformer, VOCABULARY } from '../ternary/transformer.js';

/** Losses are counted in 32 bits, and one job's results fit any device. */
const WINDOWS_MAX = 4096;

export class TextGuard {
  constructor(
    readonly model: Transformer,
    readonly windowsMax: number,
  ) {
    if (!Number.isInteger(windowsMax) || windowsMax < 1 || windowsMax > WINDOWS_MAX) {
      throw expected('windows', `an integer in 1…${WINDOWS_MAX}`, windowsMax);
    }
  }

  /** @throws {ConfigError} when these are not windows of length + 1 bytes within the room */
  checkWindows(bytes: Uint8Array, length: number): void {
    const { context } = this.model;
    if (!Number.isInteger(length) || length < 1 || length > context) {
      throw expected('length', `an integer in 1…${context}, the model’s context`, length);
    }
    const windows = bytes.length / (length + 1);
    if (!Number.isInteger(windows) || windows < 1 || windows > this.windowsMax) {
      throw expected(
        'windows',
        `1…${this.windowsMax} windows of ${length + 1} bytes`,
        `${bytes.length} bytes`,
      );
    }
  }

  /** @returns the windows' length */
  requireWindows(length: number): number {
    if (length === 0) throw new ConfigError('no windows are loaded: call loadWindows first');
    return length;
  }

  /** @throws {ConfigError} when the byte is none, or the context is full */
  checkNext(byte: number, position: number): void {
    if (!Number.isInteger(byte) || byte < 0 || byte >= VOCABULARY) throw expected('byte', '0…255', byte);
    if (position >= this.model.context) {
      throw new ConfigError(`the context of ${this.model.context} bytes is full: call restart`);
    }
  }
}
