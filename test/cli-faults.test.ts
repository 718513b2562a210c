/** Checks what the command line says of what it cannot read, write or reach: exit codes 3 to 5, and a clean disk. */

import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { cli, cliJson, onlyObject } from './support/cli.js';
import { at, data, folder, made, makeArtifacts, printed, train } from './support/cli-artifacts.js';
import { headerPayload, joinSections, splitSections } from './support/sections.js';

makeArtifacts();

describe('exit code 3:', () => {
  const VERBS: [string, (file: string) => string[]][] = [
    ['eval', (file) => ['eval', file, '--data', data]],
    ['inspect', (file) => ['inspect', file]],
    ['replay', (file) => ['replay', file, '--out', at('out.tern')]],
    ['verify', (file) => ['verify', file]],
    ['diff', (file) => ['diff', made.log, file]],
    ['export', (file) => ['export', file, '--to', 'packed', '--out', at('out.tern')]],
  ];

  it.each(VERBS)('%s of a file that is not there', async (_, args) => {
    const { code, stdout, stderr } = await cli(args(at('none.tern')));
    expect(stderr).toContain('none.tern" expected to be readable, got no such file or folder');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  });

  it.each(VERBS)('%s of a damaged artifact, with section and byte', async (verb, args) => {
    const bytes = await readFile(made.log);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 60) ^ 1, bytes.length - 60);
    await writeFile(at('bad.tern'), bytes);
    const { code, stdout, stderr } = await cli(args(at('bad.tern')));
    expect(stderr).toMatch(/log at byte \d+: the checksum does not match/);
    expect(code).toBe(3);
    if (verb !== 'verify') expect(stdout).toBe('');
    expect(await readdir(folder)).toEqual(['bad.tern']);
  });

  it('verify tells in JSON what failed', async () => {
    await writeFile(at('bad.tern'), (await readFile(made.log)).subarray(0, -1));
    const { code, stdout } = await cli(['verify', at('bad.tern'), '--json']);
    const { ok, checks } = onlyObject(stdout) as { ok: boolean; checks: { ok: boolean; detail: string }[] };
    expect({ code, ok }).toEqual({ code: 3, ok: false });
    expect(checks.find((check) => !check.ok)?.detail).toMatch(/end at byte \d+/);
  });

  it('verify of weights that are not those that were trained', async () => {
    const sections = splitSections(await readFile(made.packed));
    const payload = sections.at(-1)?.payload.map((byte, i) => (i === 1 ? byte ^ 1 : byte)) as Uint8Array;
    await writeFile(at('bad.tern'), joinSections(sections.with(-1, { type: 'E', payload })));
    const { code, stdout } = await cli(['verify', at('bad.tern'), '--json']);
    expect(code).toBe(3);
    expect(onlyObject(stdout)).toMatchObject({ ok: false, weightsHash: printed.packed.weightsHash });
  });

  it('a foreign file', async () => {
    await writeFile(at('picture.png'), Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10));
    const { code, stderr } = await cli(['inspect', at('picture.png')]);
    expect(stderr).toContain('not a ternseed artifact');
    expect(code).toBe(3);
  });

  it('a header whose configuration is nothing a trainer wrote, with a reason and no terminal codes', async () => {
    const sections = splitSections(await readFile(made.pool));
    const { header } = openArtifact(await readFile(made.pool));
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    for (const seed of ['{"toString":1,"valueOf":1}', deep, '"\\u001b[2J\\u009b31m\\u202e"', 'null', '7']) {
      const json = JSON.stringify({ ...header, data: { name: '\u001b[31m', hash: '\u0007' } });
      const payload = headerPayload(json.replace('"seed":"tiny"', `"seed":${seed}`));
      await writeFile(at('odd.tern'), joinSections(sections.with(0, { type: 'H', payload })));
      const { code, stdout, stderr } = await cli(['inspect', at('odd.tern')]);
      expect([0, 3], stderr).toContain(code);
      expect(stdout + stderr).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    }
  });

  it('eval of data of another shape', async () => {
    const { code, stderr } = await cli(['eval', made.pool, '--data', 'mnist']);
    expect(stderr).toContain('expected 36 inputs');
    expect(code).toBe(3);
  });

  it('train on data that are missing or damaged', async () => {
    await mkdir(at('broken'));
    for (const name of await readdir(data)) await copyFile(join(data, name), join(at('broken'), name));
    await writeFile(join(at('broken'), 't10k-labels-idx1-ubyte'), 'no labels');
    for (const [where, reason] of [
      ['nowhere', 'expected a directory of four IDX files'],
      ['broken', 't10k-labels'],
    ]) {
      const { code, stderr } = await cli(train(at('a.tern'), '--data', at(where)));
      expect(stderr).toContain(reason);
      expect(code).toBe(3);
    }
    expect(await readdir(folder)).toEqual(['broken']);
  });

  it('diff of two shapes', async () => {
    await cliJson(train(at('other.tern'), '--model', '36-9-4'));
    const { code, stderr } = await cli(['diff', made.pool, at('other.tern')]);
    expect(stderr).toContain('expected two models of one shape, got 36-8-4 and 36-9-4');
    expect(code).toBe(3);
  });

  it('--resume of a run that is not there', async () => {
    const { code, stderr } = await cli(['train', 'idx', '--data', data, '--resume', at('none.tern')]);
    expect(stderr).toContain('none.tern.partial" expected to be readable, got no such file or folder');
    expect(code).toBe(3);
  });
});

describe('where a file cannot be written, exit code 3 and nothing is left behind:', () => {
  const WRITERS: [string, (out: string) => string[]][] = [
    ['train, a pool', (out) => train(out)],
    ['train, a log', (out) => train(out, '--artifact', 'log')],
    ['replay', (out) => ['replay', made.log, '--out', out]],
    ['export', (out) => ['export', made.log, '--to', 'packed', '--out', out]],
    ['the metrics of train', (out) => train(at('a.tern'), '--metrics', out)],
  ];

  it.each(WRITERS)('%s into a folder that is not there', async (_, args) => {
    const { code, stdout, stderr } = await cli(args(join(folder, 'none', 'a.tern')));
    expect(stderr).toContain('expected to be writable, got no such file or folder');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(await readdir(folder)).toEqual([]);
  });

  it.each(WRITERS)('%s over a folder', async (_, args) => {
    await mkdir(at('dir'));
    const { code, stdout, stderr } = await cli(args(at('dir')));
    expect(stderr).toContain('expected to be writable, got a folder');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(await readdir(folder)).toEqual(['dir']);
  });

  it.each(WRITERS)('%s below a file', async (_, args) => {
    await writeFile(at('file'), '');
    const { code, stdout, stderr } = await cli(args(join(at('file'), 'a.tern')));
    expect(stderr).toContain('expected to be writable');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(await readdir(folder)).toEqual(['file']);
  });

  it.each(WRITERS)('%s into a read-only folder', async (_, args) => {
    await mkdir(at('closed'));
    await chmod(at('closed'), 0o555);
    // The super-user may write anywhere, so the run is one without its capabilities.
    const bare = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', process.execPath];
    const command = process.getuid?.() === 0 ? bare : [process.execPath];
    const { code, stdout, stderr } = await cli(args(join(at('closed'), 'a.tern')), {}, command);
    expect(stderr).toContain('expected to be writable, got permission denied');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(await readdir(folder, { recursive: true })).toEqual(['closed']);
  });
});

test('a backend that is not there is exit code 4 with what to do', async () => {
  for (const args of [train(at('a.tern')), ['eval', made.pool, '--data', data], ['verify', made.pool]]) {
    const env = { ...process.env, VK_ICD_FILENAMES: '/nonexistent.json' };
    const { code, stdout, stderr } = await cli([...args, '--backend', 'webgpu'], { env });
    expect(stderr).toContain('--backend wasm');
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  }
  expect(await readdir(folder)).toEqual([]);
});

test('an accuracy below the target is exit code 5, with the result and the artifact', async () => {
  const { code, stdout, stderr } = await cli([...train(at('a.tern'), '--target-accuracy', '1.0'), '--json']);
  expect(code).toBe(5);
  expect(onlyObject(stdout)).toMatchObject({ accuracy: printed.pool.accuracy });
  expect(stderr).toContain('"--target-accuracy" expected at least 100.00%, got ');
  expect(await readdir(folder)).toEqual(['a.tern']);
  expect((await cli(train(at('b.tern'), '--target-accuracy', '0'))).code).toBe(0);
});
