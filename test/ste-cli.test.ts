/** `train --method ste` from the command line: every verb on what it makes, exit codes, and runs that die. */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { headerOfUnfinished } from '../src/artifact/checkpoint.js';
import { cli, cliJson, startCli, stepped } from './support/cli.js';
import { headerPayload, joinSections, splitSections } from './support/sections.js';
import { webgpuFault } from './support/adapter.js';
import { because } from './support/missing.js';
import { tinySteOptions } from './support/tensorflow.js';
import { writeTinyData } from './support/tiny-data.js';

const HASH = expect.stringMatching(/^[0-9a-f]{64}$/);
const NUMBER = expect.any(Number);

const RUNS = {
  packed: [],
  pool: ['--artifact', 'pool', '--pool', '60', '--learning-rate', '0.2'],
  mixed: ['--quantizer', 'int8-row,sparse,int4'],
} as const;
const KINDS = Object.keys(RUNS) as (keyof typeof RUNS)[];

let root: string;
let data: string;
let folder: string;
/** What `train --json` printed of each run; the artifacts lie in `root`. */
const printed: Record<string, Record<string, unknown>> = {};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ternseed-ste-'));
  data = join(root, 'tiny');
  await writeTinyData(data);
  for (const name of KINDS) printed[name] = await cliJson(train(made(name), ...RUNS[name]));
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(root, 'test-'));
});

const at = (name: string) => join(folder, name);
const made = (name: string) => join(root, `${name}.tern`);
const train = (out: string, ...more: string[]) => [
  ...['train', 'idx', '--data', data, ...tinySteOptions, '--out', out, ...more],
];

describe.each(KINDS)('an ste artifact, %s,', (name) => {
  it('is told of as scripts rely on, with the trainer’s own accuracy the same', () => {
    expect(printed[name]).toMatchObject({
      ...{ artifact: made(name), kind: name === 'pool' ? 'pool' : 'packed', bytes: NUMBER, steps: 12 },
      ...{
        forwardPasses: 12 * 32,
        peakMemoryBytes: NUMBER,
        seed: 'tiny',
        backend: 'wasm',
        weightsHash: HASH,
      },
      trainerAccuracy: printed[name].accuracy,
    });
  });

  it('goes through every verb', async () => {
    const { accuracy, weightsHash } = printed[name];
    expect(await cliJson(['eval', made(name), '--data', data])).toMatchObject({ accuracy, weightsHash });
    expect(await cliJson(['eval', made(name), '--data', data, '--backend', 'reference'])).toMatchObject({
      ...{ accuracy, weightsHash },
    });
    expect(await cliJson(['verify', made(name)])).toMatchObject({ ok: true, weightsHash });
    expect(await cliJson(['inspect', made(name)])).toMatchObject({ config: { method: 'ste' }, weightsHash });
    const packed = at('packed.tern');
    await cliJson(['export', made(name), '--to', 'packed', '--out', packed]);
    expect(await cliJson(['diff', made(name), packed])).toMatchObject({ changedTrits: 0 });
    expect(await cliJson(['replay', made(name), '--out', at('again.tern')])).toMatchObject({ weightsHash });
    const tensor = await cliJson(['replay', made(name), '--tensor', 'layer1.weight']);
    expect(tensor).toMatchObject({ tensor: 'layer1.weight', weightsHash: HASH });
  });

  it('killed with SIGKILL at any moment and resumed ends in the same bytes', async () => {
    const long = [...RUNS[name], '--steps', '600'];
    await cliJson(train(at('whole.tern'), ...long));
    const out = at('killed.tern');
    await killed(train(out, ...long, '--save-every', '0'), 60);
    for (const after of [0, 1, 60, 120, 150]) await killed(resumeOf(out, '--save-every', '0'), after);
    expect((await cli(resumeOf(out))).code).toBe(0);
    expect(existsSync(`${out}.partial`)).toBe(false);
    expect(await readFile(out)).toEqual(await readFile(at('whole.tern')));
  });
});

const resumeOf = (out: string, ...more: string[]) => [
  'train',
  'idx',
  '--data',
  data,
  '--resume',
  out,
  ...more,
];

/** Starts a run and kills it after so many of its own steps; fails where it has ended before. */
async function killed(args: string[], steps: number): Promise<void> {
  const metrics = at(`killed-${(kills += 1)}.jsonl`);
  const running = startCli([...args, '--metrics', metrics]);
  await running.shown(args.includes('--resume') ? 'resuming' : 'training');
  await stepped(running, metrics, steps);
  running.child.kill('SIGKILL');
  expect((await running.ended).signal).toBe('SIGKILL');
}
let kills = 0;

it('Ctrl-C saves, says how to go on and exits with 130; going on gives the same bytes', async () => {
  const out = at('stopped.tern');
  const running = startCli(train(out, '--steps', '4000', '--metrics', at('m.jsonl')));
  await stepped(running, at('m.jsonl'), 200);
  running.child.kill('SIGINT');
  const { code, stderr } = await running.ended;
  expect(code, stderr).toBe(130);
  expect(stderr).toContain(`--resume ${out}`);
  const going = startCli(resumeOf(out, '--metrics', at('m.jsonl')));
  expect((await going.ended).code).toBe(0);
  const unbroken = at('unbroken.tern');
  await cliJson(train(unbroken, '--steps', '4000', '--metrics', at('u.jsonl')));
  expect(await readFile(out)).toEqual(await readFile(unbroken));
  expect(await readFile(at('m.jsonl'), 'utf8')).toBe(await readFile(at('u.jsonl'), 'utf8'));
});

describe('backends', () => {
  it('cpu trains', async () => {
    const told = await cliJson(train(at('cpu.tern'), '--backend', 'cpu'));
    expect(told).toMatchObject({ backend: 'cpu', trainerAccuracy: told.accuracy });
  });

  it.skipIf(webgpuFault !== null)(
    `webgpu trains, and the process ends by itself${because(webgpuFault)}`,
    async () => {
      const told = await cliJson(train(at('gpu.tern'), '--backend', 'webgpu', '--steps', '4'));
      expect(told).toMatchObject({ backend: 'webgpu', trainerAccuracy: told.accuracy });
    },
  );

  it.each([
    ['tensorflow', '@tensorflow/tfjs-node@4.22.0', 'libtensorflow'],
    ['tensorflow-gpu', '@tensorflow/tfjs-node-gpu@4.22.0', 'CUDA 11.2'],
  ])('%s is missing: exit 4, with what to install', async (backend, install, wants) => {
    const { code, stderr, stdout } = await cli(train(at('x.tern'), '--backend', backend));
    expect(code, stderr).toBe(4);
    expect(stderr).toContain(`npm install ${install}`);
    expect(stderr).toContain(wants);
    expect(stdout).toBe('');
    expect(existsSync(at('x.tern.partial'))).toBe(false);
  });

  it('webgpu without an adapter is exit 4 with the reason', async () => {
    const env = { ...process.env, VK_ICD_FILENAMES: '/nonexistent.json' };
    const { code, stderr } = await cli(train(at('x.tern'), '--backend', 'webgpu'), { env });
    expect(code, stderr).toBe(4);
    expect(stderr).toMatch(/expected a GPU adapter, got none: install/);
  });
});

describe('a usage fault exits with 2 and says what was expected:', () => {
  it.each([
    [['--quantizer', 'absmin'], /"quantizer" expected one or more names out of absmean/],
    [['--probes', '4'], /"--probes" is a setting of noise-step, not of ste/],
    [['--backend', 'reference'], /"--backend" expected auto, wasm, webgpu.* for ste, got "reference"/],
    [['--preset', 'paper'], /"--preset" expected default.* for ste, got "paper"/],
    [['--model', '35-8-4'], /"model" expected 36 inputs/],
    [['--artifact', 'log'], /"artifact" expected packed or pool/],
    [['--holdout', '600'], /"holdout" expected fewer than 600/],
    [['--steps', '0'], /"steps" expected an integer/],
  ])('%j', async (options, message) => {
    const { code, stderr } = await cli([...train(at('x.tern')), ...options]);
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(at('x.tern.partial'))).toBe(false);
  });

  it('settings of ste are foreign to noise-step', async () => {
    const { code, stderr } = await cli(['train', 'idx', '--data', data, '--quantizer', 'absmean']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/"--quantizer" is a setting of ste, not of noise-step/);
  });

  it('a backend of TensorFlow.js alone is foreign to noise-step', async () => {
    const { code, stderr } = await cli(['train', 'idx', '--data', data, '--backend', 'tensorflow']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/for noise-step, got "tensorflow"/);
  });
});

describe('an unfinished run that was tampered with exits with 3:', () => {
  let partial: Uint8Array;
  beforeAll(async () => {
    const out = join(root, 'whole.tern');
    const metrics = join(root, 'whole.jsonl');
    const running = startCli(train(out, '--steps', '100000', '--save-every', '0', '--metrics', metrics));
    await stepped(running, metrics, 20);
    running.child.kill('SIGINT');
    await running.ended;
    partial = await readFile(`${out}.partial`);
  });

  const resumed = async (bytes: Uint8Array) => {
    const out = at('lie.tern');
    await writeFile(`${out}.partial`, bytes);
    return cli(resumeOf(out));
  };

  it('cut at many bytes', async () => {
    for (const share of [0.001, 0.1, 0.5, 0.9, 0.999]) {
      const { code, stderr } = await resumed(partial.subarray(0, Math.floor(partial.length * share)));
      expect(code, stderr).toBe(3);
      expect(stderr).toMatch(/^ternseed: /);
    }
  });

  it.each([
    ['another model', (header: Header) => ({ ...header, model: '36-9-4' })],
    ['another precision', (header: Header) => ({ ...header, precision: ['int4', 'ternary', 'ternary'] })],
    ['an unknown setting', (header: Header) => ({ ...header, config: { ...header.config, wheels: 4 } })],
    [
      'a quantizer that is none',
      (header: Header) => ({ ...header, config: { ...header.config, quantizer: ['x'] } }),
    ],
    [
      'fewer steps than were done',
      (header: Header) => ({ ...header, config: { ...header.config, steps: 1 } }),
    ],
  ] as const)('a header with %s', async (_, lie) => {
    const sections = splitSections(partial);
    const payload = headerPayload(lie(headerOfPartial(partial)));
    const { code, stderr } = await resumed(joinSections(sections.with(0, { type: 'H', payload })));
    expect(code, stderr).toBe(3);
  });

  it('but a key that is not that of its seed, as 0.1 wrote it, is kept', async () => {
    const out = at('old.tern');
    const payload = headerPayload({ ...headerOfPartial(partial), key: '0123456789abcdef' });
    await writeFile(`${out}.partial`, joinSections(splitSections(partial).with(0, { type: 'H', payload })));
    const { code, stderr } = await cli([...resumeOf(out), '--minutes', '0.01']);
    expect(code, stderr).toBe(0);
    expect(await cliJson(['inspect', out])).toMatchObject({ key: '0123456789abcdef' });
  });

  it('arrays that are missing, short, or no whole numbers', async () => {
    const sections = splitSections(partial);
    const shorter = (bytes: number) => ({ type: 'S', payload: sections[2].payload.subarray(bytes) });
    for (const lie of [sections.slice(0, -1), sections.with(2, shorter(4)), sections.with(2, shorter(1))]) {
      const { code, stderr } = await resumed(joinSections(lie));
      expect(code, stderr).toBe(3);
    }
  });
});

type Header = Record<string, unknown> & { config: Record<string, unknown> };

function headerOfPartial(bytes: Uint8Array): Header {
  return headerOfUnfinished(bytes) as unknown as Header;
}
