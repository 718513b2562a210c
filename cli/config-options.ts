/**
 * The configuration of `train`: a preset, over it a file, over it the command line. Every
 * setting of a run is an option, named in kebab case.
 */

import { type Command, Option } from 'commander';
import { ConfigError, expected, printable } from '../src/errors.js';
import { CONFIG_KEYS, type NoiseStepConfig } from '../src/perturb/config.js';
import { PRESETS, type PresetName } from '../src/perturb/presets.js';
import { readBytes } from './files.js';

type Key = keyof NoiseStepConfig;

const HELP: Record<Key, string> = {
  model: 'layer widths, such as 784-256-10',
  centred: 'whether normalization subtracts the mean',
  gain: 'activation of a pre-activation of one mean absolute value',
  logitScale: 'exponent of the softmax per unit of a logit, in 2^-16',
  perturb: 'where the noise is: weights or nodes',
  artifact: 'what is kept: log, pool or packed',
  train: 'all, or head: the last layer alone, as a control',
  seed: 'any text',
  steps: 'updates of the weights',
  holdout: 'keep the last training examples back and score on them, not on the test set',
  batch: 'examples a step',
  shift: 'images are shifted by up to so many pixels each way',
  cut: 'latents above it give ±1; 0: no latents',
  directions: 'directions probed or recorded in a step',
  nonzeros: 'nonzeros of a log’s direction, a stage each: 16,4,1',
  nonzerosBelow: 'losses in nats at which the next stage begins: 2,1',
  keep: 'share of a log’s coefficients that is not zero',
  pool: 'directions of the pool',
  learningRate: 'step of the pool’s optimizer',
  hold: 'share of the steps at the full learning rate',
  beta1: 'decay of the mean of alignments',
  beta2: 'decay of the mean of squares',
  probes: 'antithetic probes of each hidden layer',
  sigma: 'size of a probe in 1/256 of the layer’s mean absolute value',
  rewardShift: 'binary scale of a probe’s difference of losses',
};

/** Adds `--preset`, `--config` and an option for every setting. */
export function addConfigOptions(command: Command): Command {
  command.addOption(new Option('--preset <name>', `start from: ${Object.keys(PRESETS).join(', ')}`));
  command.option('--config <file>', 'settings in JSON, over the preset');
  for (const key of CONFIG_KEYS) command.option(`--${kebab(key)} <value>`, HELP[key]);
  return command;
}

/** Whether the command line sets anything that a resumed run has fixed already. */
export function namesOfSettings(options: Record<string, unknown>): string[] {
  return ['preset', 'config', ...CONFIG_KEYS].filter((key) => options[key] !== undefined).map(kebab);
}

/**
 * Resolves the configuration from the parsed options.
 * @throws {ConfigError} when a preset, a key or a value is not known
 */
export async function resolveConfig(options: Record<string, string | undefined>): Promise<NoiseStepConfig> {
  const config: Record<string, unknown> = { ...PRESETS[presetName(options.preset)] };
  if (options.config !== undefined) Object.assign(config, await readConfigFile(options.config));
  for (const key of CONFIG_KEYS) {
    const value = options[key];
    if (value !== undefined) config[key] = parseSetting(key, value);
  }
  return config as unknown as NoiseStepConfig;
}

function presetName(name = 'default'): PresetName {
  if (!Object.hasOwn(PRESETS, name)) {
    throw new ConfigError(
      `"--preset" expected ${Object.keys(PRESETS).join(', ')}, got "${printable(name)}"${didYouMean(name, Object.keys(PRESETS))}`,
    );
  }
  return name as PresetName;
}

async function readConfigFile(path: string): Promise<Record<string, unknown>> {
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
    if (!CONFIG_KEYS.includes(key as Key)) {
      throw new ConfigError(
        `"${printable(key)}" in "${printable(path)}" is not a setting${didYouMean(key, CONFIG_KEYS)}`,
      );
    }
  }
  return settings as Record<string, unknown>;
}

function parseSetting(key: Key, text: string): unknown {
  const example = PRESETS.default[key];
  if (typeof example === 'string') return text;
  if (typeof example === 'boolean') {
    if (text !== 'true' && text !== 'false') throw expected(`--${kebab(key)}`, 'true or false', text);
    return text === 'true';
  }
  if (Array.isArray(example)) {
    return text.trim() === '' ? [] : text.split(',').map((part) => parseNumber(`--${kebab(key)}`, part));
  }
  return parseNumber(`--${kebab(key)}`, text);
}

/** A number as people write it; everything else is refused. */
export function parseNumber(option: string, text: string): number {
  if (!/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text)) throw expected(option, 'a number', text);
  return Number(text);
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
