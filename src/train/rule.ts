/** The rules that values of settings are checked by, in one wording for all of them. */

import { isSeed } from '../random/key.js';

/** How a value is written on a command line. */
export type Kind = 'number' | 'flag' | 'text' | 'numbers' | 'texts';

/** What a value must be. */
export interface Rule<Value> {
  readonly kind: Kind;
  /** In words: `an integer in 1…64`. */
  readonly what: string;
  readonly holds: (value: unknown) => value is Value;
  /** Of what takes names alone: which. */
  readonly names?: readonly string[];
}

const rule = <Value>(
  kind: Kind,
  what: string,
  holds: (value: unknown) => boolean,
  names?: readonly string[],
): Rule<Value> => ({ kind, what, holds: holds as Rule<Value>['holds'], ...(names && { names }) });

export const integer = (minimum: number, maximum: number): Rule<number> =>
  rule(
    'number',
    minimum === 1 && maximum >= 2 ** 31 - 1 ? 'a positive integer' : `an integer in ${minimum}…${maximum}`,
    (value) => Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum,
  );
export const number = (what: string, holds: (value: number) => boolean): Rule<number> =>
  rule('number', what, (value) => typeof value === 'number' && holds(value));
/** A number above zero. */
export const positive = (most: number, what = 'a number'): Rule<number> =>
  number(`${what} above 0, at most ${most}`, (value) => value > 0 && value <= most);
/** A share that may not be the whole. */
export const decay = number('a number in 0…1, not 1', (value) => value >= 0 && value < 1);
export const share = number('a share in 0…1', (value) => value >= 0 && value <= 1);
export const oneOf = <const Name extends string>(...names: readonly Name[]): Rule<Name> =>
  rule('text', names.join(' or '), (value) => names.includes(value as Name), names);
export const flag: Rule<boolean> = rule('flag', 'true or false', (value) => typeof value === 'boolean');
export const falling = (what: string, holds: (value: number) => boolean): Rule<number[]> =>
  rule(
    'numbers',
    `${what}, each below the one before`,
    (value) =>
      Array.isArray(value) &&
      value.every(
        (entry, i) => typeof entry === 'number' && holds(entry) && (i === 0 || entry < value[i - 1]),
      ),
  );
export const numbersOf = (what: string, { holds }: Rule<number>): Rule<number[]> =>
  rule(
    'numbers',
    `one or more ${what}`,
    (value) => Array.isArray(value) && value.length > 0 && value.every(holds),
  );
export const namesOf = <const Name extends string>(...names: readonly Name[]): Rule<Name[]> =>
  rule(
    'texts',
    `one or more names out of ${names.join(', ')}`,
    (value) => Array.isArray(value) && value.length > 0 && value.every((entry) => names.includes(entry)),
    names,
  );
const isText = (value: unknown) => typeof value === 'string' && value.length <= 256;
export const text: Rule<string> = rule('text', 'text of at most 256 characters', isText);
export const seedText: Rule<string> = rule(
  'text',
  'text of at most 256 Unicode characters',
  (value) => isText(value) && isSeed(value as string),
);
