/** `train text --method noise-step`: it learns what its head alone does not, on every backend alike, and tunes a base. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { webgpuFault } from './support/adapter.js';
import { because } from './support/missing.js';
import { cli, cliJson, startCli, stepped } from './support/cli.js';

const SETTINGS = [
  ...[
    '--method',
    'noise-step',
    '--blocks',
    '1',
    '--width',
    '24',
    '--heads',
    '2',
    '--key-heads',
    '2',
    '--hidden',
    '32',
  ],
  ...[
    '--context',
    '8',
    '--batch',
    '8',
    '--steps',
    '60',
    '--learning-rate',
    '6',
    '--head-rate',
    '2',
    '--probes',
    '2',
  ],
];

let folder: string;
let text: string;
let printed: Record<string, unknown>;
const at = (name: string) => join(folder, name);
const train = (...more: string[]) => ['train', 'text', '--text', text, ...more];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-noise-text-'));
  text = at('rounds.txt');
  await writeFile(text, 'abcdefgh hgfedcba abab cdcd efef ghgh\n'.repeat(60));
  printed = await cliJson(train(...SETTINGS, '--out', at('one.tern')));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('from scratch', () => {
  it('learns more than its head alone', async () => {
    expect(printed).toMatchObject({ kind: 'packed', model: 'text-1x24', steps: 60 });
    const head = await cliJson(train(...SETTINGS, '--train', 'head', '--out', at('head.tern')));
    expect(printed.bitsPerByte).toBeLessThan((head.bitsPerByte as number) - 0.05);
    const again = await cliJson(['eval', at('one.tern'), '--data', text, '--backend', 'reference']);
    expect(again).toMatchObject({ bitsPerByte: printed.bitsPerByte, weightsHash: printed.weightsHash });
  });

  it('ends in the same bytes on the reference, killed on the way', async () => {
    const out = at('two.tern');
    const run = startCli(
      train(
        ...SETTINGS,
        '--backend',
        'reference',
        '--out',
        out,
        '--save-every',
        '0',
        '--metrics',
        at('two.jsonl'),
      ),
    );
    await stepped(run, at('two.jsonl'), 4);
    run.child.kill('SIGKILL');
    expect((await run.ended).signal).toBe('SIGKILL');
    await cliJson(train('--resume', out, '--backend', 'wasm', '--threads', '1'));
    expect(await readFile(out)).toEqual(await readFile(at('one.tern')));
  });

  it.skipIf(webgpuFault !== null)(`ends in the same bytes on webgpu${because(webgpuFault)}`, async () => {
    const short = [...SETTINGS, '--steps', '12']; // a software adapter takes a second a step
    const { weightsHash } = await cliJson(train(...short, '--out', at('short.tern')));
    const out = at('gpu.tern');
    expect(await cliJson(train(...short, '--backend', 'webgpu', '--out', out))).toMatchObject({
      backend: 'webgpu',
      weightsHash,
    });
    expect(await readFile(out)).toEqual(await readFile(at('short.tern')));
  });
});

describe('on a base', () => {
  it('makes a delta that names it, predicts another text better, and is nothing without it', async () => {
    const other = at('other.txt');
    await writeFile(other, 'hhgg ffee ddcc bbaa\n'.repeat(100));
    const tune = ['train', 'text', '--text', other, '--base', at('one.tern')];
    const out = at('delta.tern');
    const tuned = await cliJson([...tune, '--steps', '80', '--batch', '8', '--head-rate', '3', '--out', out]);
    const before = await cliJson(['eval', at('one.tern'), '--data', other]);
    expect(tuned.bitsPerByte).toBeLessThan((before.bitsPerByte as number) - 0.3);
    expect(tuned.bytes).toBeLessThan((printed.bytes as number) * 0.7);
    const scored = await cliJson(['eval', out, '--data', other]);
    expect(scored.bitsPerByte).toBe(tuned.bitsPerByte);
    await mkdir(at('elsewhere'));
    await writeFile(at('elsewhere/delta.tern'), await readFile(out));
    const { code, stderr } = await cli([
      'eval',
      at('elsewhere/delta.tern'),
      '--data',
      other,
      '--base',
      at('head.tern'),
    ]);
    expect(code).toBe(3);
    expect(stderr).toContain(printed.weightsHash);
    const refused = await cli([...tune, '--width', '32', '--out', at('wide.tern')]);
    expect(refused.stderr).toContain(
      '"--base" expected the tensors of text-1x32, which the settings describe, got text-1x24',
    );
  });

  it('coarser changes take fewer bytes, and a budget that is passed says by how much', async () => {
    const tune = (...more: string[]) =>
      train(
        ...['--method', 'noise-step', '--base', at('one.tern'), '--steps', '10', '--batch', '8', ...more],
      );
    const fine = await cliJson(tune('--grain', '1', '--head-rate', '3', '--out', at('fine.tern')));
    const coarse = await cliJson(tune('--grain', '16', '--head-rate', '3', '--out', at('coarse.tern')));
    expect(coarse.bytes).toBeLessThan(fine.bytes as number);
    const { code, stderr } = await cli(
      tune('--grain', '1', '--head-rate', '3', '--budget', '300', '--out', at('x.tern')),
    );
    expect(code).toBe(5);
    expect(stderr).toMatch(/"--budget" expected at most 300 bytes, got \d+, \d+ too many/);
  });
});

it.each([
  [['--tied', 'true'], '"tied" expected false'],
  [['--method', 'ste', '--base', 'one.tern'], '"--base" is for noise-step'],
  [['--batch', '2000'], '"batch" expected at most 1024 windows of 8 bytes'],
  [['--optimizer', 'muon'], '"--optimizer" is a setting of ste, not of noise-step'],
  [['--backend', 'tensorflow'], '"--backend" expected auto'],
])('%s is refused', async (more, message) => {
  const { code, stderr } = await cli(train(...SETTINGS, ...more, '--out', at('no.tern')));
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});
