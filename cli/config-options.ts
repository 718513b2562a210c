/**
 * The configuration of `train`: a preset of the trainer, over it a file, over it the command line.
 * Every setting of a run is an option, named in kebab case.
 */

import { type Command, Option } from 'commander';
import { STE_SETTINGS } from '../src/backprop/config.js';
import { STE_PRESETS } from '../src/backprop/presets.js';
import { TEXT_STE_SETTINGS } from '../src/backprop/text-config.js';
import { TEXT_STE_PRESETS } from '../src/backprop/text-presets.js';
import { ConfigError, expected, printable } from '../src/errors.js';
import { NOISE_STEP_SETTINGS, TEXT_NOISE_STEP_SETTINGS } from '../src/perturb/config.js';
import { PRESETS, TEXT_NOISE_STEP_PRESETS } from '../src/perturb/presets.js';
import type { Kind } from '../src/train/rule.js';
import { GROUPS, type Setting, type Settings } from '../src/train/setting.js';
import { readBytes } from './files.js';
import { METHODS, type Method } from './subject.js';

type Values = Readonly<Record<string, unknown>>;

/** What `train` must know of a trainer's configuration. */
interface MethodSettings {
  readonly presets: Readonly<Record<string, Values>>;
  /** Of each option. */
  readonly settings: Settings;
}

/** The trainers of one kind of data. */
export interface SourceSettings {
  readonly methods: Readonly<Partial<Record<Method, MethodSettings>>>;
  /** The trainer that is taken where none is named. */
  readonly method: Method;
}

/** The method has an option of its own. */
const settingsOf = (presets: object, settings: Settings): MethodSettings => ({
  presets: presets as Record<string, Values>,
  settings: Object.fromEntries(Object.entries(settings).filter(([key]) => key !== 'method')),
});

/** Of models on labelled examples. */
export const EXAMPLE_SETTINGS: SourceSettings = {
  methods: {
    'noise-step': settingsOf(PRESETS, NOISE_STEP_SETTINGS),
    ste: settingsOf(STE_PRESETS, STE_SETTINGS),
  },
  method: 'noise-step',
};

/** Of models of texts. */
export const TEXT_SETTINGS: SourceSettings = {
  methods: {
    'noise-step': settingsOf(TEXT_NOISE_STEP_PRESETS, TEXT_NOISE_STEP_SETTINGS),
    ste: settingsOf(TEXT_STE_PRESETS, TEXT_STE_SETTINGS),
  },
  method: 'ste',
};

const entriesOf = ({ methods }: SourceSettings) => Object.entries(methods) as [Method, MethodSettings][];

/** All settings of a source's trainers, by group. */
function keysOf(source: SourceSettings): string[] {
  const all = entriesOf(source).flatMap(([, { settings }]) => Object.entries(settings));
  const grouped = GROUPS.flatMap((group) => all.filter(([, setting]) => setting.group === group));
  return [...new Set(grouped.map(([key]) => key))];
}

/** The trainers that a source has. */
export function methodsOf(source: SourceSettings): Method[] {
  return entriesOf(source).map(([method]) => method);
}

/** Adds `--preset`, `--config` and an option for every setting, each with what the trainers of this source take. */
export function addConfigOptions(command: Command, source: SourceSettings): Command {
  const presets = byMethod(source, ({ presets }) => Object.keys(presets).join(', '));
  command.addOption(new Option('--preset <name>', `start from: ${presets}`));
  command.option('--config <file>', 'settings in JSON, over the preset');
  for (const key of keysOf(source)) {
    const setting = entriesOf(source).flatMap(([, { settings }]) => settings[key] ?? [])[0];
    const option = new Option(`--${kebab(key)} <value>`, helpOf(key, source)).helpGroup(`${setting.group}:`);
    command.addOption(option);
  }
  return command;
}

/** What a setting is, what it takes, whose it is, if not of all trainers, and what it is in the default preset. */
function helpOf(key: string, source: SourceSettings): string {
  const has = ({ settings }: MethodSettings) => Object.hasOwn(settings, key);
  const what = byMethod(source, (one) => (has(one) ? describe(key, one.settings[key]) : null));
  const preset = byMethod(source, (one) => (has(one) ? written(one.presets.default[key]) : null), false);
  return preset === '' ? what : `${what} [default: ${preset}]`;
}

function describe(key: string, { help, rule }: Setting<unknown>): string {
  if (rule.names === undefined) return help;
  const names = key === 'artifact' ? [...rule.names, 'auto (the smallest form)'] : rule.names;
  return `${help}: ${names.join(', ')}`;
}

/** A value as the command line takes it. */
function written(value: unknown): string | null {
  return value === undefined ? null : String(value);
}

/**
 * What all trainers of a source say, or, where they differ, what each says: `a (noise-step); b (ste)`.
 * @param named - whether what one trainer alone says has its name with it, too
 */
export function byMethod(
  source: SourceSettings,
  say: (settings: MethodSettings, method: Method) => string | null,
  named = true,
): string {
  const entries = entriesOf(source);
  const said = entries.flatMap(([method, settings]): [Method, string][] => {
    const words = say(settings, method);
    return words === null ? [] : [[method, words]];
  });
  const isOne = new Set(said.map(([, words]) => words)).size <= 1;
  if (isOne && (said.length === entries.length || !named || said.length === 0)) return said[0]?.[1] ?? '';
  return said.map(([method, words]) => `${words} (${method})`).join('; ');
}

/** What the command line sets that a resumed run has fixed already. */
export function namesOfSettings(source: SourceSettings, options: Values): string[] {
  return ['preset', 'config', ...keysOf(source)].filter((key) => options[key] !== undefined).map(kebab);
}

export interface Resolved {
  readonly config: Record<string, unknown>;
  /** The settings that the user named, be it in a file. */
  readonly said: ReadonlySet<string>;
}

/**
 * Resolves the configuration of a trainer from the parsed options.
 * @param over - settings that come over the preset, and under what the user says
 * @throws {ConfigError} when a preset, a key or a value is not known
 */
export async function resolveConfig(
  source: SourceSettings,
  method: Method,
  options: Readonly<Record<string, string | undefined>>,
  over: Values = {},
): Promise<Resolved> {
  const trainer = source.methods[method];
  if (!trainer) throw expected('--method', `${methodsOf(source).join(' or ')} here`, method);
  const config: Record<string, unknown> = { ...presetOf(trainer, method, options.preset), ...over };
  const said = new Set<string>();
  if (options.config !== undefined) {
    const settings = await readConfigFile(options.config, source, method, trainer);
    Object.assign(config, settings);
    for (const key of Object.keys(settings)) said.add(key);
  }
  for (const key of keysOf(source)) {
    const value = options[key];
    if (value === undefined) continue;
    if (!Object.hasOwn(trainer.settings, key)) throw foreign(`--${kebab(key)}`, method);
    config[key] = parseSetting(`--${kebab(key)}`, value, trainer.settings[key].rule.kind);
    said.add(key);
  }
  return { config, said };
}

function presetOf({ presets }: MethodSettings, method: Method, name = 'default'): Values {
  const names = Object.keys(presets);
  if (!Object.hasOwn(presets, name)) {
    throw new ConfigError(
      `"--preset" expected ${names.join(', ')} for ${method}, got "${printable(name)}"${didYouMean(name, names)}`,
    );
  }
  return presets[name];
}

function foreign(name: string, method: Method): ConfigError {
  const other = METHODS.find((one) => one !== method);
  return new ConfigError(
    `"${name}" is a setting of ${other}, not of ${method}: leave it out, or use "--method ${other}"`,
  );
}

async function readConfigFile(
  path: string,
  source: SourceSettings,
  method: Method,
  trainer: MethodSettings,
): Promise<Record<string, unknown>> {
  let settings: unknown;
  try {
    settings = JSON.parse(new TextDecoder().decode(await readBytes(path)));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new ConfigError(`"--config" expected JSON in "${printable(path)}": ${printable(cause.message)}`, {
      cause,
    });
  }
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw new ConfigError(`"--config" expected an object of settings in "${printable(path)}"`);
  }
  const keys = Object.keys(trainer.settings);
  for (const key of Object.keys(settings)) {
    if (keys.includes(key)) continue;
    if (keysOf(source).includes(key)) throw foreign(key, method);
    throw new ConfigError(
      `"${printable(key)}" in "${printable(path)}" is not a setting${didYouMean(key, keys)}`,
    );
  }
  return settings as Record<string, unknown>;
}

/** The value that an option's text stands for. */
function parseSetting(option: string, text: string, kind: Kind): unknown {
  const parts = () => (text.trim() === '' ? [] : text.split(',').map((part) => part.trim()));
  switch (kind) {
    case 'number':
      return parseNumber(option, text);
    case 'numbers':
      return parts().map((part) => parseNumber(option, part));
    case 'texts':
      return parts();
    case 'text':
      return text;
    case 'flag':
      if (text !== 'true' && text !== 'false') throw expected(option, 'true or false', text);
      return text === 'true';
    default:
      return kind satisfies never;
  }
}

/** A finite number as people write it; everything else is refused. */
export function parseNumber(option: string, text: string): number {
  const value = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw expected(option, 'a number', text);
  return value;
}

/** An integer from `least` on, up to `most`; `what` says so in words. */
export function parseInteger(
  option: string,
  text: string,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
  what = `an integer in ${least}…${most}`,
): number {
  const value = parseNumber(option, text);
  if (!Number.isInteger(value) || value < least || value > most) throw expected(option, what, text);
  return value;
}

/** `10-20`, or `10` for one alone. */
export function parseRange(option: string, text: string): { from: number; to: number } {
  const [, from, to = from] = /^(\d{1,8})(?:-(\d{1,8}))?$/.exec(text) ?? [];
  if (from === undefined || Number(from) > Number(to)) throw expected(option, 'a range such as 0-15', text);
  return { from: Number(from), to: Number(to) };
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** ` (did you mean …?)` for the nearest of some names, or nothing. */
function didYouMean(name: string, names: readonly string[]): string {
  const near = names
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near && near.distance <= 3 ? ` (did you mean "${near.candidate}"?)` : '';
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
