/** Checks that the help of `train` offers, for each source and trainer, the names that are taken, and no others. */

import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  EXAMPLE_SETTINGS,
  methodsOf,
  resolveConfig,
  type SourceSettings,
  TEXT_SETTINGS,
} from '../cli/config-options.js';
import type { Method } from '../cli/subject.js';
import { addSources } from '../cli/train-command.js';
import { checkSteConfig } from '../src/backprop/config.js';
import { QUANTIZERS } from '../src/backprop/quantizers/names.js';
import { checkTextSteConfig } from '../src/backprop/text-config.js';
import { checkConfig, checkTextNoiseStepConfig } from '../src/perturb/config.js';

type Check = (config: never) => unknown;
const SOURCES: [name: string, settings: SourceSettings, checks: Record<Method, Check>][] = [
  ['mnist', EXAMPLE_SETTINGS, { 'noise-step': checkConfig, ste: checkSteConfig }],
  ['text', TEXT_SETTINGS, { 'noise-step': checkTextNoiseStepConfig, ste: checkTextSteConfig }],
];

/** Every name that an option might offer. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  artifact: ['log', 'pool', 'packed'],
  perturb: ['weights', 'nodes'],
  train: ['all', 'head'],
  quantizer: QUANTIZERS,
  optimizer: ['adamw', 'muon', 'sgd'],
  schedule: ['constant', 'linear', 'cosine', 'one-cycle', 'two-stage'],
  embedding: ['int8', 'ternary', 'int4'],
};

function optionOf(source: string, name: string) {
  const train = new Command('train');
  addSources(train);
  const command = train.commands.find((one) => one.name() === source);
  return command?.options.find(({ long }) => long === `--${name}`);
}

/** What the help says of an option. */
const helpOf = (source: string, option: string) => optionOf(source, option)?.description;
const groupOf = (source: string, option: string) => optionOf(source, option)?.helpGroupHeading;

/** The names that an option offers for a trainer: `what it is: a, b (noise-step); what it is: a (ste) [default: a]`. */
function offered(help: string | undefined, method: Method): string[] {
  const parts = help?.replace(/ \[default: .*\]$/, '').split('; ') ?? [];
  const own = parts.find((part) => part.endsWith(` (${method})`));
  const others = parts.some((part) => /\((noise-step|ste)\)$/.test(part));
  const list = (own ?? (others ? '' : parts.join('; ')))
    .replace(` (${method})`, '')
    .split(': ')
    .at(-1) as string;
  return list.split(', ').filter((name) => name !== '' && !name.startsWith('auto'));
}

describe.each(SOURCES)('train %s --help', (source, settings, checks) => {
  describe.each(methodsOf(settings))('of %s', (method) => {
    it.each(Object.entries(NAMES))('--%s lists what is taken', async (option, names) => {
      if (helpOf(source, option) === undefined) return; // an option of the other source
      const taken: string[] = [];
      for (const name of names) {
        try {
          checks[method]((await resolveConfig(settings, method, { [option]: name })).config as never);
          taken.push(name);
        } catch (error) {
          const { message } = error as Error;
          if (!message.includes(`"${option}"`) && !message.includes(`"--${option}"`)) taken.push(name);
        }
      }
      expect(offered(helpOf(source, option), method).sort()).toEqual([...taken].sort());
    });
  });

  it('groups options by what they are about, with the default preset’s values', () => {
    expect(groupOf(source, 'learning-rate')).toBe('Optimizer:');
    expect(groupOf(source, 'probes')).toBe('Probes:');
    expect(groupOf(source, 'out')).toBeUndefined();
    for (const method of methodsOf(settings)) {
      const { learningRate } = settings.methods[method]?.presets.default ?? {};
      expect(helpOf(source, 'learning-rate')).toMatch(
        new RegExp(`\\[default: .*\\b${learningRate} \\(${method}\\)`),
      );
    }
  });

  it('offers "auto" for --artifact', () => {
    expect(helpOf(source, 'artifact')).toContain('auto');
  });

  it('--backend lists the backends of each trainer', () => {
    expect(offered(helpOf(source, 'backend'), 'noise-step')).toContain('reference');
    expect(offered(helpOf(source, 'backend'), 'ste')).not.toContain('reference');
    expect(offered(helpOf(source, 'backend'), 'ste')).toContain('tensorflow');
  });
});
