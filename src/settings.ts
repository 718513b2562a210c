/** The rules that settings of a run are checked by, in one wording for both trainers. */

import { expected } from './errors.js';
import { isSeed } from './random/key.js';

/** What a value must be, in words and as a test; of names, which ones there are. */
export type Rule = readonly [what: string, holds: (value: unknown) => boolean, names?: readonly string[]];

export const integer = (minimum: number, maximum: number): Rule => [
  minimum === 1 && maximum >= 2 ** 31 - 1 ? 'a positive integer' : `an integer in ${minimum}…${maximum}`,
  (value) => Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum,
];
export const number = (what: string, holds: (value: number) => boolean): Rule => [
  what,
  (value) => typeof value === 'number' && holds(value),
];
export const oneOf = (...names: string[]): Rule => [
  names.join(' or '),
  (value) => names.includes(value as string),
  names,
];
export const flag: Rule = ['true or false', (value) => typeof value === 'boolean'];
export const falling = (what: string, holds: (value: number) => boolean): Rule => [
  `${what}, each below the one before`,
  (value) =>
    Array.isArray(value) &&
    value.every((entry, i) => typeof entry === 'number' && holds(entry) && (i === 0 || entry < value[i - 1])),
];
export const listOf = (what: string, holds: (value: unknown) => boolean): Rule => [
  `one or more ${what}`,
  (value) => Array.isArray(value) && value.length > 0 && value.every(holds),
];
export const namesOf = (...names: string[]): Rule => [
  `one or more names out of ${names.join(', ')}`,
  (value) => Array.isArray(value) && value.length > 0 && value.every((entry) => names.includes(entry)),
  names,
];
export const text: Rule = [
  'text of at most 256 characters',
  (value) => typeof value === 'string' && value.length <= 256,
];

export const seedText: Rule = [
  'text of at most 256 Unicode characters',
  (value) => text[1](value) && isSeed(value as string),
];

/**
 * The shape of a transformer, setting by setting.
 * @param embeddings - what embedding and head may be made of
 */
export const shapeRules = (embeddings: readonly string[]) => ({
  blocks: integer(1, 64),
  width: integer(8, 4096),
  heads: integer(1, 64),
  keyHeads: integer(1, 64),
  hidden: integer(8, 16_384),
  context: integer(2, 1024),
  loopFrom: integer(0, 63),
  loopTo: integer(1, 64),
  loops: integer(1, 64),
  tied: flag,
  embedding: oneOf(...embeddings),
});

/** A setting that may be left out. */
export const optional = ([what, holds]: Rule): Rule => [what, (value) => value === undefined || holds(value)];

/** A rule for every setting of a configuration. */
export type Rules<Config> = Record<keyof Config & string, Rule>;

/** The names that settings take, of those that take nothing else. */
export function choicesOf(
  rules: Readonly<Record<string, Rule>>,
): Readonly<Record<string, readonly string[]>> {
  const entries = Object.entries(rules).flatMap(([key, [, , names]]) => (names ? [[key, names]] : []));
  return Object.fromEntries(entries) as Record<string, readonly string[]>;
}

/**
 * Checks every setting by itself.
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkSettings<Config>(config: Config, rules: Rules<Config>): void {
  for (const [key, [what, holds]] of Object.entries<Rule>(rules)) {
    const value = config[key as keyof Config];
    if (!holds(value)) throw expected(key, what, value);
  }
}
