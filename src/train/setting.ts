/**
 * Settings as data: of each, its rule, what it is about and what it does. From a table of them follow the type of a
 * configuration, its check, the options of the command line, and their help.
 */

import { expected } from '../errors.js';
import type { Rule } from './rule.js';

/** What settings are about, in the order of their help. */
export const GROUPS = ['Model', 'Training', 'What is kept', 'Probes', 'Quantizer', 'Optimizer'] as const;
export type Group = (typeof GROUPS)[number];

export interface Setting<Value> {
  readonly group: Group;
  /** What it does, as the help says it. */
  readonly help: string;
  readonly rule: Rule<Value>;
}

/** A setting that a configuration may leave out. */
export interface OptionalSetting<Value> extends Setting<Value> {
  readonly optional: true;
}

/** The settings of a trainer, by name. */
export type Settings = Readonly<Record<string, Setting<unknown>>>;

type ValueOf<One> = One extends Setting<infer Value> ? Value : never;
type OptionalKey<Table> = {
  [Key in keyof Table]: Table[Key] extends OptionalSetting<unknown> ? Key : never;
}[keyof Table];

/** The configurations that a table of settings describes. */
export type ConfigOf<Table> = {
  [Key in Exclude<keyof Table, OptionalKey<Table>>]: ValueOf<Table[Key]>;
} & { [Key in OptionalKey<Table>]?: ValueOf<Table[Key]> };

export const setting = <Value>(group: Group, help: string, rule: Rule<Value>): Setting<Value> => ({
  group,
  help,
  rule,
});

/** The same settings, which may be left out. */
export function optional<Table extends Settings>(
  table: Table,
): { readonly [Key in keyof Table]: OptionalSetting<ValueOf<Table[Key]>> } {
  const entries = Object.entries(table).map(([key, one]) => [key, { ...one, optional: true }]);
  return Object.fromEntries(entries) as { [Key in keyof Table]: OptionalSetting<ValueOf<Table[Key]>> };
}

/**
 * Checks every setting by itself.
 * @throws {ConfigError} naming the setting, what was expected and what was got
 */
export function checkSettings(config: object, table: Settings): void {
  for (const [key, one] of Object.entries(table)) {
    const value = (config as Record<string, unknown>)[key];
    if (value === undefined && 'optional' in one) continue;
    if (!one.rule.holds(value)) throw expected(key, one.rule.what, value);
  }
}
