/** The check of arrays that callers hand over: JavaScript would take any and cut its values to what fits. */

import { expected } from './errors.js';

type Kind = 'Uint8Array' | 'Int8Array' | 'Int16Array';

/**
 * Checks what kind of array a value is, whichever page or worker it comes from.
 * @param name - of the setting, for the error
 * @throws {ConfigError} when it is of another kind, such as the Float32Array of pixels in 0…1
 */
export function requireArray(name: string, kind: Kind, value: unknown): void {
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (tag !== kind) throw expected(name, kind.startsWith('I') ? `an ${kind}` : `a ${kind}`, tag);
}
