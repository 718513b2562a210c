/** Checks the contract of the command line: what is printed where, exit codes, and what is left on the disk. */

import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { graphOf } from '../src/ternary/builders/index.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { PRESETS } from '../src/perturb/presets.js';
import { cli, cliJson, onlyObject, startCli } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import {
  at,
  data,
  folder,
  KINDS,
  made,
  makeArtifacts,
  printed,
  STEPS,
  train,
} from './support/cli-artifacts.js';

const HASH = expect.stringMatching(/^[0-9a-f]{64}$/);
const NUMBER = expect.any(Number);

makeArtifacts();

describe('--json prints one object with the fields that scripts rely on:', () => {
  it.each(KINDS)('train --artifact %s', async (kind) => {
    const bytes = await readFile(made[kind]);
    expect(printed[kind]).toMatchObject({
      ...{ artifact: made[kind], kind, bytes: bytes.length, accuracy: NUMBER, steps: STEPS, seconds: NUMBER },
      ...{ forwardPasses: NUMBER, peakMemoryBytes: NUMBER, seed: 'tiny', backend: 'wasm', weightsHash: HASH },
    });
    const { accuracy, forwardPasses, peakMemoryBytes } = printed[kind] as Record<string, number>;
    expect(accuracy).toBeGreaterThanOrEqual(0);
    expect(accuracy).toBeLessThanOrEqual(1);
    expect(forwardPasses).toBeGreaterThanOrEqual(STEPS * 32);
    expect(peakMemoryBytes).toBeGreaterThan(2 ** 20);
  });

  it.each(KINDS)('eval of a %s, with the accuracy and the hash that training told', async (kind) => {
    const { accuracy, loss, weightsHash } = printed[kind];
    expect(await cliJson(['eval', made[kind], '--data', data])).toMatchObject({
      ...{ examples: 200, accuracy, loss, weightsHash, seconds: NUMBER },
    });
    expect(await cliJson(['eval', made[kind], '--data', data, '--split', 'train'])).toMatchObject({
      ...{ examples: 600, weightsHash },
    });
  });

  it.each(KINDS)('inspect of a %s, with the data’s hash as sha256sum gives it', async (kind) => {
    const all = createHash('sha256');
    for (const name of ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1']) {
      all.update(await readFile(join(data, `${name}-ubyte`)));
    }
    const told = await cliJson(['inspect', made[kind]]);
    expect(told).toMatchObject({
      ...{ kind, version: 2, bytes: printed[kind].bytes, parameters: 36 * 8 + 8 * 4, steps: STEPS },
      ...{
        seed: 'tiny',
        model: '36-8-4',
        dataHash: all.digest('hex'),
        weightsHash: printed[kind].weightsHash,
      },
      config: { batch: 32, pool: 48, nonzeros: [8, 4], artifact: kind },
    });
    const sections = told.sections as { name: string; offset: number; bytes: number }[];
    expect([sections[0]?.name, sections.at(-1)?.name]).toEqual(['header', 'end']);
    expect(sections.reduce((sum, { bytes }) => sum + bytes, 5)).toBe(told.bytes);
  });

  it.each(KINDS)('replay of a %s, whose --out verifies with the same hash', async (kind) => {
    const { weightsHash } = printed[kind];
    const out = at('weights.tern');
    expect(await cliJson(['replay', made[kind], '--out', out])).toMatchObject({
      ...{ weightsHash, seconds: NUMBER, backend: 'wasm', step: STEPS },
    });
    expect(await cliJson(['verify', out])).toMatchObject({ ok: true, weightsHash });
    expect(await cliJson(['inspect', out])).toMatchObject({ kind: 'packed', weightsHash });
  });

  it.each(KINDS)('verify of a %s', async (kind) => {
    const { ok, weightsHash, checks } = await cliJson(['verify', made[kind]]);
    expect({ ok, weightsHash }).toEqual({ ok: true, weightsHash: printed[kind].weightsHash });
    const check = { name: expect.any(String), ok: true, detail: expect.any(String) };
    expect(checks).toEqual((checks as unknown[]).map(() => check));
    expect((checks as { name: string }[]).map(({ name }) => name)).toContain('weights');
  });

  it.each(KINDS)('export of a %s to packed', async (kind) => {
    const path = at('packed.tern');
    const { bytes } = await cliJson(['export', made[kind], '--to', 'packed', '--out', path]);
    expect(bytes).toBe((await readFile(path)).length);
    expect(await cliJson(['verify', path])).toMatchObject({ weightsHash: printed[kind].weightsHash });
  });

  it('diff', async () => {
    const same = await cliJson(['diff', made.pool, made.packed]);
    expect(same).toMatchObject({ changedTrits: 0 });
    await cliJson(train(at('other.tern'), '--seed', 'other'));
    const { changedTrits, byTensor } = await cliJson(['diff', made.pool, at('other.tern')]);
    expect(changedTrits).toBeGreaterThan(0);
    const parts = byTensor as { name: string; changed: number }[];
    expect(parts.map(({ name }) => name)).toEqual(['layer0.weight', 'layer1.weight']);
    expect(parts.reduce((sum, { changed }) => sum + changed, 0)).toBe(changedTrits);
  });

  it('env', async () => {
    expect(await cliJson(['env'])).toMatchObject({
      ...{ ternseed: expect.stringMatching(/^\d+\.\d+\.\d+/), node: process.versions.node, cores: NUMBER },
      ...{ simd: expect.stringMatching(/^(relaxed|plain|none)$/), adapters: expect.any(Array) },
    });
  });
});

describe('text for people', () => {
  it.each([
    ['train', () => train(at('a.tern')), 'test accuracy'],
    ['eval', () => ['eval', made.pool, '--data', data], 'accuracy'],
    ['inspect', () => ['inspect', made.pool], 'section coefficients'],
    ['replay', () => ['replay', made.log], 'after step 12'],
    ['verify', () => ['verify', made.log], 'ok'],
    ['diff', () => ['diff', made.log, made.pool], 'layer1.weight'],
    ['export', () => ['export', made.log, '--to', 'packed', '--out', at('p.tern')], 'bits a weight'],
    ['env', () => ['env'], 'wasm SIMD'],
  ])(
    'of %s is on stdout, is no JSON, and has no colours where there is no terminal',
    async (_, args, says) => {
      const env = { ...process.env, FORCE_COLOR: '3', NO_COLOR: '1' };
      const { code, stdout, stderr } = await cli(args(), { env });
      expect(code, stderr).toBe(0);
      expect(stdout).toContain(says);
      expect(stdout).not.toMatch(/^\{/);
      expect(stdout + stderr).not.toContain('\u001b');
      expect(stdout + stderr).not.toMatch(/undefined|NaN|\[object/);
    },
  );

  it('of training tells the same accuracy and hash as its JSON', async () => {
    const { stdout } = await cli(train(at('again.tern')));
    const { accuracy, weightsHash } = printed.pool as { accuracy: number; weightsHash: string };
    expect(stdout).toContain(`${(100 * accuracy).toFixed(2)}% of 200`);
    expect(stdout).toContain(weightsHash);
  });

  it('shows progress on stderr alone', async () => {
    const { stdout, stderr } = await cli([...train(at('again.tern')), '--json']);
    onlyObject(stdout);
    expect(stderr).toMatch(/^training 36-8-4, nodes, pool: 320 weights, 12 steps of 32 \(wasm/);
  });
});

describe('replay', () => {
  it('of a log to a step gives what training for so many steps gives', async () => {
    for (const step of [0, 1, 7]) {
      const { weightsHash } = await cliJson(['replay', made.log, '--step', String(step)]);
      if (step === 0) continue;
      const args = train(at(`${step}.tern`), '--artifact', 'log', '--steps', String(step));
      expect(weightsHash).toBe((await cliJson(args)).weightsHash);
    }
  });

  it.each(KINDS)(
    'of one tensor of a %s writes its trits, five a byte, whose SHA-256 it tells',
    async (kind) => {
      const out = at('tensor.trits');
      const { weightsHash } = await cliJson([
        'replay',
        made[kind],
        '--tensor',
        'layer1.weight',
        '--out',
        out,
      ]);
      const bytes = await readFile(out);
      expect(bytes.length).toBe(Math.ceil((8 * 4) / 5));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(weightsHash);
    },
  );
});

describe('a packed network of int8 and int4 layers', () => {
  /** Writes one of 36-8-4, the second layer with a scale a row; its values take in the ends of both ranges. */
  async function writeMixed(path: string, first = 127): Promise<string> {
    const { header } = openArtifact(await readFile(made.packed));
    const mixed = { ...header, precision: ['int8', 'int4-row'] as const };
    const weights = Int8Array.from({ length: 324 }, (_v, i) =>
      i < 288 ? ((i * 37) % 255) - 127 : i < 320 ? ((i * 7) % 15) - 7 : 127 - (i % 4),
    ).with(0, first);
    const hash = await weightsHash(weights, graphOf(mixed).tensors);
    await writeFile(path, encodePacked(mixed, weights, { steps: 5, weightsHash: hash }));
    return hash;
  }

  it('is inspected, verified, evaluated, exported and compared', async () => {
    const file = at('mixed.tern');
    const hash = await writeMixed(file);
    expect(await cliJson(['inspect', file])).toMatchObject({
      ...{ parameters: 324, precision: ['int8', 'int4-row'], weightsHash: hash },
      tensors: [{ name: 'layer0.weight' }, { name: 'layer1.weight' }, { name: 'layer1.scale' }],
    });
    expect((await cli(['inspect', file])).stdout).toMatch(/precision +int8, int4-row\n/);
    expect(await cliJson(['verify', file])).toMatchObject({ ok: true, weightsHash: hash });
    const scores = ['wasm', 'reference'].map((name) =>
      cliJson(['eval', file, '--data', data, '--backend', name]),
    );
    const [{ accuracy, loss }, theirs] = await Promise.all(scores);
    expect(theirs).toMatchObject({ accuracy, loss });
    await cliJson(['export', file, '--to', 'packed', '--out', at('copy.tern')]);
    expect(await readFile(at('copy.tern'))).toEqual(await readFile(file));
    await writeMixed(at('other.tern'), 126);
    expect(await cliJson(['diff', file, at('other.tern')])).toMatchObject({
      changedTrits: 1,
      byTensor: [{ weights: 288, changed: 1 }, { changed: 0 }, { weights: 4, changed: 0 }],
    });
    const { code, stderr } = await cli(['diff', file, made.packed]);
    expect(stderr).toContain('of one shape, got 36-8-4, precision int8, int4-row and 36-8-4');
    expect(code).toBe(3);
  });

  it('gives one tensor a byte a value, whose SHA-256 it tells', async () => {
    await writeMixed(at('mixed.tern'));
    for (const [tensor, length] of [
      ['layer0.weight', 288],
      ['layer1.scale', 4],
    ] as const) {
      const args = ['replay', at('mixed.tern'), '--tensor', tensor, '--out', at(tensor)];
      const told = await cliJson(args);
      const bytes = await readFile(at(tensor));
      expect(bytes.length).toBe(length);
      expect(told).toMatchObject({ weights: length });
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(told.weightsHash);
    }
    expect([...(await readFile(at('layer1.scale')))]).toEqual([127, 126, 125, 124]);
  });
});

describe('artifacts are the same bytes', () => {
  it.each([
    ['log', 'weights'],
    ['log', 'nodes'],
    ['pool', 'nodes'],
  ])('on the reference, on 1 thread and on 2: %s of %s', async (kind, perturb) => {
    const artifacts = new Set<string>();
    for (const how of [
      ['--backend', 'reference'],
      ['--threads', '1'],
      ['--threads', '2'],
    ]) {
      const out = at(`${how.join('')}.tern`);
      // 96 examples are enough tiles for two threads
      await cliJson(train(out, '--artifact', kind, '--perturb', perturb, '--batch', '96', ...how));
      artifacts.add((await readFile(out)).toString('hex'));
    }
    expect(artifacts.size).toBe(1);
  });
});

describe('settings', () => {
  it('come from the preset, over it the file, over it the command line, and are stored', async () => {
    await writeFile(at('run.json'), JSON.stringify({ model: '36-6-4', steps: 3, batch: 16, pool: 40 }));
    const given = ['--preset', 'best', '--config', at('run.json'), '--batch', '24', '--out', at('a.tern')];
    await cliJson(['train', 'idx', '--data', data, ...given]);
    const { config } = await cliJson(['inspect', at('a.tern')]);
    expect(config).toEqual({ ...PRESETS.best, model: '36-6-4', steps: 3, batch: 24, pool: 40 });
  });

  it.each([
    ['an unknown option', ['--stepz', '3'], /--stepz.*\n?.*Did you mean --steps/],
    [
      'an unknown preset',
      ['--preset', 'defualt'],
      /"--preset" expected default, .*"defualt" \(did you mean "default"\?\)/,
    ],
    ['a batch of 0', ['--batch', '0'], /"(--)?batch" expected an integer in 1…65536, got "?0/],
    ['a batch that is no number', ['--batch', 'many'], /"--batch" expected a number, got "many"/],
    ['half a step', ['--steps', '1.5'], /"(--)?steps" expected an integer in 1…10000000, got 1\.5/],
    ['a bad model', ['--model', '36-x-4'], /"model" expected layer widths such as/],
    ['a model of other inputs', ['--model', '35-8-4'], /"model" expected 36 inputs, as the data has, got 35/],
    [
      'a model of too few classes',
      ['--model', '36-8-3'],
      /"model" expected at least 4 outputs, one for each label of the data/,
    ],
    ['more directions than weights', ['--artifact', 'log', '--directions', '41'], /"directions" expected/],
    ['an unknown estimator', ['--perturb', 'node'], /"perturb" expected weights or nodes, got "node"/],
    ['an unknown backend', ['--backend', 'cuda'], /reference, wasm, webgpu/],
    ['no threads', ['--threads', '0'], /1…256/],
    ['a negative time between saves', ['--save-every', '-1'], /"--save-every" expected a number of seconds/],
    ['no time', ['--minutes', '0'], /"--minutes" expected a number above 0/],
    ['an accuracy above 1', ['--target-accuracy', '97'], /"--target-accuracy" expected a share in 0…1/],
    ['all examples held out', ['--holdout', '600'], /"(--)?holdout" expected fewer than 600 examples/],
    ['a resumed run with steps', ['--resume', 'x.tern'], /leave|fixed/],
  ])('%s: exit code 2, the reason, and nothing on stdout or disk', async (_, args, reason) => {
    const { code, stdout, stderr } = await cli(train(at('a.tern'), ...args));
    expect(stderr).toMatch(reason);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('that are fixed in a resumed run are refused by name', async () => {
    const { code, stderr } = await cli([
      'train',
      'idx',
      '--data',
      data,
      '--resume',
      at('a.tern'),
      '--steps',
      '5',
    ]);
    expect(stderr).toContain('"--steps" is fixed in the run that "--resume" continues');
    expect(code).toBe(2);
  });

  it.each([
    ['an unknown key', '{"stepz": 3}', '"stepz" in ', '(did you mean "steps"?)'],
    ['a value of another type', '{"steps": "3"}', '"steps" expected an integer', 'got "3"'],
    ['no JSON', '{"steps": 3', '"--config" expected JSON', 'run.json'],
    ['a list', '[]', '"--config" expected an object', 'run.json'],
  ])('in a file with %s: exit code 2 and the reason', async (_, json, ...reasons) => {
    await writeFile(at('run.json'), json);
    const { code, stderr } = await cli(['train', 'idx', '--data', data, '--config', at('run.json')], {
      cwd: folder,
    });
    for (const reason of reasons) expect(stderr).toContain(reason);
    expect(code).toBe(2);
    expect(await readdir(folder)).toEqual(['run.json']);
  });

  it('that need more memory than wasm has are refused, not a fault', async () => {
    const wide = ['--model', '36-60000-4', '--logit-scale', '1', '--batch', '8192', '--threads', '256'];
    const { code, stderr } = await cli(train(at('a.tern'), ...wide));
    expect(stderr).toMatch(/memory/);
    expect(code).toBe(2);
  });
});

describe('usage:', () => {
  it.each([
    ['no verb', []],
    ['an unknown verb', ['trian']],
    ['train without a source', ['train']],
    ['train idx without data', ['train', 'idx']],
    ['a verb without its file', ['inspect']],
    ['eval without data', ['eval', 'x.tern']],
    ['an unknown export', ['export', 'x.tern', '--to', 'gguff', '--out', 'y']],
  ])('%s is exit code 2 with nothing on stdout', async (_, args) => {
    const { code, stdout, stderr } = await cli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toBe('');
  });

  it('help and version are exit code 0 on stdout', async () => {
    for (const args of [['--help'], ['train', 'idx', '--help'], ['--version']]) {
      const { code, stdout, stderr } = await cli(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).not.toBe('');
    }
  });

  it.each([
    ['a step of a pool', () => ['replay', made.pool, '--step', '3'], '"step" expected a seed log'],
    ['a step past the end', () => ['replay', made.log, '--step', '13'], '"step" expected an integer in 0…12'],
    ['an unknown tensor', () => ['replay', made.log, '--tensor', 'x'], 'layer0.weight, layer1.weight'],
    ['an unknown split', () => ['eval', made.log, '--data', data, '--split', 'all'], 'test or train'],
  ])('%s is exit code 2 and says what there is', async (_, args, reason) => {
    const { code, stderr } = await cli(args());
    expect(stderr).toContain(reason);
    expect(code).toBe(2);
  });
});

test('--minutes ends a run early with a whole artifact and nothing beside it', async () => {
  for (const kind of KINDS) {
    const out = at(`${kind}.tern`);
    const { steps } = await cliJson(
      train(out, '--artifact', kind, '--steps', '1000000', '--minutes', '0.0002'),
    );
    expect(steps).toBeGreaterThanOrEqual(1);
    expect(steps).toBeLessThan(1_000_000);
    expect(await cliJson(['verify', out])).toMatchObject({ ok: true });
    expect(await cliJson(['inspect', out])).toMatchObject({ steps, config: { steps: 1_000_000 } });
  }
  expect(await readdir(folder)).toEqual(KINDS.map((kind) => `${kind}.tern`).sort());
});

test('--metrics writes a JSON line a step', async () => {
  await writeFile(at('metrics.jsonl'), 'what an older run left\n');
  const refused = await cli(train(at('a.tern'), '--metrics', at('metrics.jsonl')));
  expect(refused.stderr).toContain('metrics.jsonl" expected to be free, got a file that is there');
  expect({ code: refused.code, files: await readdir(folder) }).toEqual({ code: 2, files: ['metrics.jsonl'] });
  await cliJson(train(at('a.tern'), '--metrics', at('metrics.jsonl'), '--force'));
  const lines = await metricsOf(at('metrics.jsonl'));
  expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  for (const line of lines)
    expect(line).toMatchObject({ loss: NUMBER, accuracy: NUMBER, forwardPasses: NUMBER });
});

// The steps are so many that a run is still going when the signal comes.
describe.each([
  ['log', 'weights', 1500, 'SIGINT'],
  ['pool', 'nodes', 6000, 'SIGTERM'],
  ['packed', 'weights', 1500, 'SIGINT'],
] as const)('a run of a %s by %s of %i steps that is interrupted by %s', (kind, perturb, count, signal) => {
  const long = ['--artifact', kind, '--perturb', perturb, '--steps', String(count), '--threads', '1'];
  const unfinished = () => [...train(at('a.tern'), ...long), '--metrics', at('metrics.jsonl')];
  const resumed = (...more: string[]) => [
    ...['train', 'idx', '--data', data, '--threads', '1', '--metrics', at('metrics.jsonl')],
    ...['--resume', at('a.tern'), ...more],
  ];

  it('saves, and goes on to the same bytes', async () => {
    const whole = await cliJson(train(at('whole.tern'), ...long));
    const { code, stdout, stderr } = await interrupted(unfinished(), signal);
    expect({ code, stdout }, stderr).toEqual({ code: 130, stdout: '' });
    expect(stderr).toContain(`continue with: ternseed train idx --data ${data} --resume ${at('a.tern')}`);
    expect((await readdir(folder)).sort()).toEqual(['a.tern.partial', 'metrics.jsonl', 'whole.tern']);

    const told = await cliJson(resumed());
    expect((await readdir(folder)).sort()).toEqual(['a.tern', 'metrics.jsonl', 'whole.tern']);
    expect(await readFile(at('a.tern'))).toEqual(await readFile(at('whole.tern')));
    const { steps, accuracy, forwardPasses, weightsHash } = whole;
    expect(told).toMatchObject({ kind, steps, accuracy, forwardPasses, weightsHash });
    const lines = await metricsOf(at('metrics.jsonl'));
    expect(lines.every(({ step }, i) => step === i + 1)).toBe(true);
    expect(lines.length).toBe(count);
  });

  it('is neither started over nor resumed on other data', async () => {
    expect((await interrupted(unfinished(), signal)).code).toBe(130);
    const files = () => Promise.all(['a.tern.partial', 'metrics.jsonl'].map((name) => readFile(at(name))));
    const before = await files();

    const over = await cli(unfinished());
    expect(over.stderr).toContain('a.tern.partial" holds an unfinished run: continue it with "--resume ');
    expect(over.code).toBe(2);

    await writeTinyData(at('other'));
    const labels = await readFile(join(at('other'), 't10k-labels-idx1-ubyte'));
    labels.writeUInt8(labels.readUInt8(100) ^ 1, 100);
    await writeFile(join(at('other'), 't10k-labels-idx1-ubyte'), labels);
    const others = await cli(resumed('--data', at('other')));
    expect(others.stderr).toContain('expected the data it was trained on (tiny), got others');
    expect(others.code).toBe(3);

    expect(await files()).toEqual(before);
    expect(await readdir(folder)).not.toContain('a.tern');
  });
});

test('a resumed run holds back the examples that it held back before', async () => {
  const long = ['--artifact', 'log', '--perturb', 'weights', '--steps', '1200', '--holdout', '100'];
  await cliJson(train(at('whole.tern'), ...long));
  expect((await interrupted(train(at('a.tern'), ...long), 'SIGINT')).code).toBe(130);
  const { split, examples } = await cliJson(['train', 'idx', '--data', data, '--resume', at('a.tern')]);
  expect({ split, examples }).toEqual({ split: 'held out', examples: 100 });
  expect(await readFile(at('a.tern'))).toEqual(await readFile(at('whole.tern')));
});

/** Starts a run and sends a signal before its first step. */
async function interrupted(args: readonly string[], signal: NodeJS.Signals) {
  const run = startCli(args);
  await run.shown('training');
  run.child.kill(signal);
  return run.ended;
}

async function metricsOf(path: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(path, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
