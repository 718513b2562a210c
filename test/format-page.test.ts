/** Checks that docs/format.md and docs/reader.py say what the code does. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const text = (path: string) => readFileSync(`${root}${path}`, 'utf8');

test('the worked example is what the code makes', () => {
  execFileSync(process.execPath, ['scripts/format-example.mjs', '--check'], { cwd: root });
  expect(text('docs/format.md')).toMatch(/^\| 0 \| `54 45 52 4e` \| magic number/m);
});

test('a stale example is found', () => {
  const script = text('scripts/format-example.mjs').replace('Int8Array.of(1, 0,', 'Int8Array.of(0, 0,');
  const stale = script
    .replaceAll("'../dist/", `'${new URL('../dist/', import.meta.url).href}`)
    .replace('dirname(dirname(fileURLToPath(import.meta.url)))', JSON.stringify(root));
  expect(() =>
    execFileSync(process.execPath, ['--input-type=module', '-', '--check'], {
      cwd: root,
      input: stale,
      stdio: 'pipe',
    }),
  ).toThrow('stale');
});

test('the dictionaries of both readers are the same text', () => {
  const dictionary = (source: string, name: string) => {
    const definition = new RegExp(`${name} = ?\\(?\\n([\\s\\S]*?)(?:;\\n|\\n\\))`).exec(source)?.[1] ?? '';
    return Array.from(definition.matchAll(/'([^']*)'/g), ([, part]) => part).join('');
  };
  for (const name of ['DICTIONARY_V1', 'DICTIONARY_V2']) {
    const [typescript, python] = ['src/artifact/header.ts', 'docs/reader.py'].map((path) =>
      dictionary(text(path), name),
    );
    expect(typescript?.length).toBeGreaterThan(500);
    expect(python).toBe(typescript);
  }
});
