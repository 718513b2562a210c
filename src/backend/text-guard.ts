/** The checks that every backend makes of a placed transformer before work starts, in one wording. */

import { ConfigError, expected } from '../errors.js';
import { errorLimit, NODES_BATCH_MAX, PROBES_MAX, type TextProbes, type TextRoom } from './backend.js';
import { requireArray } from '../typed-arrays.js';
import { type Transformer, VOCABULARY } from '../ternary/transformer.js';

/** Losses are counted in 32 bits, and one job's results fit any device. */
const WINDOWS_MAX = 4096;
/** The most positions after its own that count to a probe's reward: five differences of losses fit i32. */
const HORIZON_MAX = 4;

export class TextGuard {
  readonly windowsMax: number;
  readonly #align: boolean;

  constructor(
    readonly model: Transformer,
    { windows: windowsMax, align = false }: TextRoom,
  ) {
    this.windowsMax = windowsMax;
    this.#align = align;
    if (align && model.tied) {
      throw new ConfigError('"tied" expected false: what is aligned needs a head of its own');
    }
    if (!Number.isInteger(windowsMax) || windowsMax < 1 || windowsMax > WINDOWS_MAX) {
      throw expected('windows', `an integer in 1…${WINDOWS_MAX}`, windowsMax);
    }
  }

  /** @throws {ConfigError} when these are not windows of length + 1 bytes within the room */
  checkWindows(bytes: Uint8Array, length: number): void {
    requireArray('bytes', 'Uint8Array', bytes);
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

  /**
   * @returns the largest |reward| of a probe: with it no alignment reaches 2^31
   * @throws {ConfigError} when the windows or the probes cannot be aligned
   */
  requireProbes(
    windows: number,
    length: number,
    { probes, sigma, rewardShift, horizon }: TextProbes,
  ): number {
    if (!this.#align) throw new ConfigError('the model has no room for "align": place it with "align: true"');
    const positions = windows * this.requireWindows(length);
    if (positions > NODES_BATCH_MAX) {
      throw expected('windows', `at most ${NODES_BATCH_MAX} positions to align`, positions);
    }
    const ranges = {
      probes: [probes, 0, PROBES_MAX],
      sigma: [sigma, 1, 256],
      rewardShift: [rewardShift, 0, 16],
    };
    for (const [name, [value, least, most]] of Object.entries({
      ...ranges,
      horizon: [horizon, 0, HORIZON_MAX],
    })) {
      if (!Number.isInteger(value) || value < least || value > most) {
        throw expected(name, `an integer in ${least}…${most}`, value);
      }
    }
    return Math.floor(errorLimit(positions * this.model.loops) / Math.max(1, probes));
  }

  /** @throws {ConfigError} when the byte is none, or the context is full */
  checkNext(byte: number, position: number): void {
    if (!Number.isInteger(byte) || byte < 0 || byte >= VOCABULARY) throw expected('byte', '0…255', byte);
    if (position >= this.model.context) {
      throw new ConfigError(`the context of ${this.model.context} bytes is full: call restart`);
    }
  }
}
