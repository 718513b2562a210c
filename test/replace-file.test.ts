/** Checks in which order a file and its folder are synced, so that what is said to be on the disk is there. */

import type * as fs from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { replaceFile } from '../cli/replace-file.js';

/** What was asked of the system, in order; all of it is done as well. */
const asked = vi.hoisted(() => [] as string[]);
vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    fsyncSync(file: number) {
      asked.push(`sync ${real.fstatSync(file).isDirectory() ? 'folder' : 'file'}`);
      real.fsyncSync(file);
    },
    renameSync(from: string, to: string) {
      asked.push('rename');
      real.renameSync(from, to);
    },
  };
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-replace-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  asked.length = 0;
});

it.skipIf(process.platform === 'win32')(
  'a file is synced before it gets its name, and its folder after',
  async () => {
    const path = join(folder, 'a.tern');
    for (const text of ['made', 'replaced']) {
      asked.length = 0;
      const bytes = new TextEncoder().encode(text);
      expect(await replaceFile(path, [bytes])).toBe(bytes.length);
      expect(asked).toEqual(['sync file', 'rename', 'sync folder']);
      expect(await readFile(path, 'utf8')).toBe(text);
    }
  },
);

it('a file whose parts cannot be made leaves its target and its folder as they were', async () => {
  const path = join(folder, 'b.tern');
  await replaceFile(path, [Uint8Array.of(1)]);
  asked.length = 0;
  const parts = (function* () {
    yield Uint8Array.of(2);
    throw new Error('no more');
  })();
  await expect(replaceFile(path, parts)).rejects.toThrow();
  expect(asked).toEqual([]);
  expect([...(await readFile(path))]).toEqual([1]);
});
