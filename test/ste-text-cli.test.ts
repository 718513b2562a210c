/** `train text` from the command line: what it prints, that threads and a death change no byte, and its limits. */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cli, cliJson, startCli, stepped } from './support/cli.js';

const SHAPE = [
  ...['--blocks', '2', '--loop-from', '1', '--loop-to', '2', '--loops', '2', '--width', '32', '--heads', '2'],
  ...['--key-heads', '1', '--hidden', '48', '--context', '16', '--tied', 'true'],
];
const STEPS = 40;

let folder: string;
let text: string;
let printed: Record<string, unknown>;
const at = (name: string) => join(folder, name);
const train = (...more: string[]) => ['train', 'text', '--text', text, ...more];
const settings = [...SHAPE, '--steps', String(STEPS), '--batch', '4', '--learning-rate', '0.01'];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-text-'));
  text = at('numbers.txt');
  await writeFile(text, Array.from({ length: 900 }, (_, i) => `${i} comes before ${i + 1}.\n`).join(''));
  printed = await cliJson(
    train(...settings, '--out', at('one.tern'), '--threads', '1', '--metrics', at('one.jsonl')),
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('a run learns, and its artifact scores what training scored', async () => {
  expect(printed).toMatchObject({ kind: 'packed', model: 'text-2x32, loops 2, tied', steps: STEPS });
  const { bitsPerByte, trainerBitsPerByte, weightsHash, bytes } = printed as Record<string, number>;
  expect(bitsPerByte).toBeLessThan(5); // untrained: 8
  expect(Math.abs(bitsPerByte - trainerBitsPerByte)).toBeLessThan(0.001);
  expect((await readFile(at('one.tern'))).length).toBe(bytes);
  const again = await cliJson(['eval', at('one.tern'), '--data', text]);
  expect(again).toMatchObject({ bitsPerByte, weightsHash });
  const lines = (await readFile(at('one.jsonl'), 'utf8')).trim().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual(
    Array.from({ length: STEPS }, (_, i) => i + 1),
  );
});

it('killed on two threads and resumed on one, a run ends in the same bytes', async () => {
  const out = at('two.tern');
  const run = startCli(
    train(...settings, '--out', out, '--threads', '2', '--save-every', '0', '--metrics', at('two.jsonl')),
  );
  await stepped(run, at('two.jsonl'), 5);
  run.child.kill('SIGKILL');
  expect((await run.ended).signal).toBe('SIGKILL');
  await cliJson(train('--resume', out, '--threads', '1'));
  expect(await readFile(out)).toEqual(await readFile(at('one.tern')));
});

it('sparse trits take fewer bytes, and train to the very scales of the artifact', async () => {
  const sparse = ['--quantizer', 'sparse', '--threshold', '1.5', '--out', at('sparse.tern')];
  const made = (await cliJson(train(...settings, ...sparse))) as Record<string, number>;
  expect(made.bitsPerTrit).toBeLessThan(0.9 * (printed.bitsPerTrit as number));
  expect(made.bitsPerByte).toBeLessThan(5);
  expect(Math.abs(made.bitsPerByte - made.trainerBitsPerByte)).toBeLessThan(0.001);
});

it('what does not fit the budget is refused before it is trained, by how much', async () => {
  const { code, stderr } = await cli(train(...settings, '--out', at('big.tern'), '--budget', '5000'));
  expect(code).toBe(2);
  expect(stderr).toMatch(/"--budget" expected a model of at most 5000 bytes, got one of \d+, \d+ too many/);
  expect(existsSync(at('big.tern.partial'))).toBe(false);
});

it.each([
  [['--target-bpb', '0.5', '--steps', '1', '--out', 'x.tern'], 5, '"--target-bpb" expected at most 0.5'],
  [['--quantizer', 'elastic'], 2, '"quantizer" expected absmean or twn or lloyd-max or sparse'],
  [['--width', '30'], 2, '"width" expected a multiple of 8'],
  [['--method', 'noise-step'], 2, '"tied" expected false'],
  [['--perturb', 'nodes'], 2, "unknown option '--perturb'"],
  [['--resume', 'none.tern'], 3, 'none.tern.partial'],
])('%s ends with exit code %i', async (more, expected, message) => {
  const given = more[0] === '--resume' ? train(...more) : train(...SHAPE, ...more);
  const { code, stderr } = await cli(given, { cwd: folder });
  expect(stderr).toContain(message);
  expect(code).toBe(expected);
});
