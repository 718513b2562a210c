/**
 * The configuration of `train`: a preset of the trainer, over it a file, over it the command line.
 * Every setting of a run is an option, named in kebab case.
 */

import { type Command, Option } from 'commander';
import { ConfigError, expected, printable } from '../src/errors.js';
import { STE_CHOICES, STE_KEYS } from '../src/backprop/config.js';
import { STE_PRESETS } from '../src/backprop/presets.js';
import { TEXT_STE_CHOICES, TEXT_STE_KEYS } from '../src/backprop/text-config.js';
import { TEXT_STE_PRESETS } from '../src/backprop/text-presets.js';
import {
  CONFIG_CHOICES,
  CONFIG_KEYS,
  TEXT_NOISE_STEP_CHOICES,
  TEXT_NOISE_STEP_KEYS,
} from '../src/perturb/config.js';
import { PRESETS, TEXT_NOISE_STEP_PRESETS } from '../src/perturb/presets.js';
import { readBytes } from './files.js';
import { METHODS, type Method } from './run.js';

type Settings = Readonly<Record<string, unknown>>;

/** What all settings are; the names that they take are those of their rules. */
const HELP: Readonly<Record<string, string>> = {
  model: 'layer widths, such as 784-256-10',
  centred: 'whether normalization subtracts the mean',
  gain: 'activation of a pre-activation of one mean absolute value',
  logitScale: 'exponent of the softmax per unit of a logit, in 2^-16',
  perturb: 'where the noise is',
  artifact: 'what is kept',
  train: 'what is trained; the head, which is the last layer, alone as a control',
  seed: 'any text',
  steps: 'updates of the weights',
  holdout: 'keep the last training examples back and score on them, not on the test set',
  batch: 'examples, or windows of a text, a step',
  shift: 'images are shifted by up to so many pixels each way',
  cut: 'latents above it give ±1; 0: no latents',
  directions: 'directions probed or recorded in a step',
  nonzeros: 'nonzeros of a log’s direction, a stage each: 16,4,1',
  nonzerosBelow: 'losses in nats at which the next stage begins: 2,1',
  keep: 'share of a log’s coefficients that is not zero',
  pool: 'directions of the pool',
  learningRate: 'largest step of the optimizer',
  headRate: 'largest step of the optimizer for the head',
  hold: 'share of the steps at the full learning rate',
  beta1: 'decay of the mean of alignments',
  beta2: 'decay of the mean of squares',
  probes: 'antithetic probes of each hidden layer, or matrix',
  sigma: 'size of a probe in 1/256 of the mean absolute value that it disturbs',
  rewardShift: 'binary scale of a probe’s difference of losses',
  horizon: 'positions after its own that count to the reward of a probe on what later ones see',
  grain: 'of a delta: values of eight bits differ from the base’s by multiples of it',
  quantizer: 'how weights become integers',
  threshold: 'of the quantizer sparse: weights above so many σ are not zero',
  optimizer: 'what moves the weights',
  schedule: 'how the learning rate goes',
  warmup: 'share of the steps over which the learning rate rises',
  weightDecay: 'decoupled decay of the shadow weights, as a factor of the learning rate',
  clipNorm: 'largest norm of the gradient over all weights; 0: no clipping',
  momentum: 'momentum of muon',
  blocks: 'blocks of a transformer that are stored',
  width: 'of the residual stream',
  heads: 'of queries in a block',
  keyHeads: 'of keys and values in a block, a divisor of the heads',
  hidden: 'width of a block’s feed-forward',
  context: 'bytes of a window',
  loopFrom: 'first block that is applied again and again, counted from 0',
  loopTo: 'the block after the last that is',
  loops: 'how many times those blocks are applied, with the same weights',
  tied: 'whether the head is the embedding’s matrix; false for noise-step',
  embedding: 'what embedding and head are made of',
  shards: 'parts of a batch that threads share out; the result depends on it, not on the threads',
};

/** What `train` must know of a trainer's configuration. */
interface MethodSettings {
  readonly presets: Readonly<Record<string, Settings>>;
  /** Settings, one an option. */
  readonly keys: readonly string[];
  /** The names that some of them take. */
  readonly choices: Readonly<Record<string, readonly string[]>>;
}

/** The trainers of one kind of data. */
export interface SourceSettings {
  readonly methods: Readonly<Partial<Record<Method, MethodSettings>>>;
  /** The trainer that is taken where none is named. */
  readonly method: Method;
  /** What options take beside the values of a setting, in words. */
  readonly also: Readonly<Record<string, string>>;
}

const settingsOf = (
  presets: object,
  keys: readonly string[],
  choices: MethodSettings['choices'],
): MethodSettings => ({
  presets: presets as Record<string, Settings>,
  keys: keys.filter((key) => key !== 'method'),
  choices,
});

/** Of perceptrons, on labelled examples. */
export const EXAMPLE_SETTINGS: SourceSettings = {
  methods: {
    'noise-step': settingsOf(PRESETS, CONFIG_KEYS, CONFIG_CHOICES),
    ste: settingsOf(STE_PRESETS, STE_KEYS, STE_CHOICES),
  },
  method: 'noise-step',
  also: { artifact: 'auto: as the preset, and then the smallest form' },
};

/** Of transformers, on texts. */
export const TEXT_SETTINGS: SourceSettings = {
  methods: {
    'noise-step': settingsOf(TEXT_NOISE_STEP_PRESETS, TEXT_NOISE_STEP_KEYS, TEXT_NOISE_STEP_CHOICES),
    ste: settingsOf(TEXT_STE_PRESETS, TEXT_STE_KEYS, TEXT_STE_CHOICES),
  },
  method: 'ste',
  also: { artifact: 'auto: as the preset, and then the smallest form' },
};

const entriesOf = ({ methods }: SourceSettings) => Object.entries(methods) as [Method, MethodSettings][];

/** All settings of a source's trainers. */
function keysOf(source: SourceSettings): string[] {
  return [...new Set(entriesOf(source).flatMap(([, { keys }]) => keys))];
}

/** The trainers that a source has. */
export function methodsOf(source: SourceSettings): Method[] {
  return entriesOf(source).map(([method]) => method);
}

/** Adds `--preset`, `--config` and an option for every setting, each with what the trainers of this source take. */
export function addConfigOptions(command: Command, source: SourceSettings): Command {
  const presets = byMethod(source, ({ presets }) => Object.keys(presets));
  command.addOption(new Option('--preset <name>', `start from: ${presets}`));
  command.option('--config <file>', 'settings in JSON, over the preset');
  for (const key of keysOf(source)) command.option(`--${kebab(key)} <value>`, helpOf(key, source));
  return command;
}

/** What a setting is, what it takes, and whose it is, if not of all trainers. */
function helpOf(key: string, source: SourceSettings): string {
  const entries = entriesOf(source);
  const owners = entries.filter(([, { keys }]) => keys.includes(key));
  const perLayer =
    ['quantizer', 'threshold'].includes(key) &&
    owners.every(([, { presets }]) => Array.isArray(presets.default[key]));
  const what = `${HELP[key]}${perLayer ? ', one for all layers or one a layer' : ''}`;
  const names = byMethod(source, ({ choices }) => choices[key]);
  const also = source.also[key];
  if (names !== '') return `${what}: ${names}${also === undefined ? '' : `; ${also}`}`;
  return owners.length < entries.length ? `${what} (${owners.map(([method]) => method).join()})` : what;
}

/** `a, b` where all trainers of a source take the same names, `a (noise-step); b (ste)` where they differ. */
export function byMethod(
  source: SourceSettings,
  namesOf: (settings: MethodSettings, method: Method) => readonly string[] | undefined,
): string {
  const lists = entriesOf(source).map(([method, settings]): [Method, string | undefined] => [
    method,
    namesOf(settings, method)?.join(', '),
  ]);
  if (new Set(lists.map(([, names]) => names)).size === 1) return lists[0][1] ?? '';
  return lists.flatMap(([method, names]) => (names === undefined ? [] : `${names} (${method})`)).join('; ');
}

/** What the command line sets that a resumed run has fixed already. */
export function namesOfSettings(source: SourceSettings, options: Settings): string[] {
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
  over: Settings = {},
): Promise<Resolved> {
  const trainer = source.methods[method];
  if (!trainer) throw expected('--method', `${methodsOf(source).join(' or ')} here`, method);
  const config: Record<string, unknown> = { ...presetOf(trainer, method, options.preset), ...over };
  const examples = { ...config };
  const said = new Set<string>();
  if (options.config !== undefined) {
    const settings = await readConfigFile(options.config, source, method, trainer);
    Object.assign(config, settings);
    for (const key of Object.keys(settings)) said.add(key);
  }
  for (const key of keysOf(source)) {
    const value = options[key];
    if (value === undefined) continue;
    if (!trainer.keys.includes(key)) throw foreign(`--${kebab(key)}`, method);
    config[key] = parseSetting(key, value, examples[key]);
    said.add(key);
  }
  return { config, said };
}

function presetOf({ presets }: MethodSettings, method: Method, name = 'default'): Settings {
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
  { keys }: MethodSettings,
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
  for (const key of Object.keys(settings)) {
    if (keys.includes(key)) continue;
    if (keysOf(source).includes(key)) throw foreign(key, method);
    throw new ConfigError(
      `"${printable(key)}" in "${printable(path)}" is not a setting${didYouMean(key, keys)}`,
    );
  }
  return settings as Record<string, unknown>;
}

/** The value that an option's text stands for: of the kind that the preset has there. */
function parseSetting(key: string, text: string, example: unknown): unknown {
  const option = `--${kebab(key)}`;
  if (typeof example === 'string') return text;
  if (typeof example === 'boolean') {
    if (text !== 'true' && text !== 'false') throw expected(option, 'true or false', text);
    return text === 'true';
  }
  if (Array.isArray(example)) {
    const parts = text.trim() === '' ? [] : text.split(',').map((part) => part.trim());
    return typeof example[0] === 'string' ? parts : parts.map((part) => parseNumber(option, part));
  }
  return parseNumber(option, text);
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
