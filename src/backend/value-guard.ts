/** The check of a model's values that every backend makes before it takes them. */

import { expected } from '../errors.js';
import type { Model } from '../ternary/network.js';
import { requireArray } from '../typed-arrays.js';
import { VALUE_RANGES } from '../ternary/precision.js';

/** @throws {ConfigError} when it is no Int8Array of as many values as the model has, each in its tensor's range */
export function checkValues({ parameters, tensors }: Model, values: Int8Array): void {
  requireArray('weights', 'Int8Array', values);
  if (values.length !== parameters) throw expected('weights', `${parameters} values`, values.length);
  for (const { name, values: kind, rows, columns, offset } of tensors) {
    const [least, largest] = VALUE_RANGES[kind];
    const end = offset + rows * columns;
    for (let i = offset; i < end; i++) {
      if (values[i] < least || values[i] > largest) {
        throw expected(name, `values in ${least}…${largest}`, values[i]);
      }
    }
  }
}
