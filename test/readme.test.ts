/** Checks that what the README and the pages beside it refer to is there, in the repository and in the package. */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cli } from './support/cli.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGES = [
  ...['README.md', 'CHANGELOG.md'],
  ...['docs', 'bench/results'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];

/** The paths that `npm pack` packs. */
const PACKED: readonly string[] = (() => {
  const command = ['npm', 'pack', '--dry-run', '--json', '--ignore-scripts'].join(' ');
  const json = execFileSync(command, { cwd: ROOT, shell: true, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const [{ files }] = Object.values(JSON.parse(json) as Record<string, { files: { path: string }[] }>);
  return files.map(({ path }) => path);
})();

/** A page without its blocks and spans of code, in which brackets are no links. */
function textOf(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
    .replace(/^```[\s\S]*?^```/gm, '')
    .replace(/`[^`\n]*`/g, 'code');
}

/** Links and pictures of a page that lead to no other site. */
function linksOf(page: string): string[] {
  const targets = [...textOf(page).matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)];
  return targets.map(([, markdown, html]) => markdown ?? html).filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  const headings = [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^#{1,6} (.+)$/gm)];
  return headings.map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(PAGES)('%s', (page) => {
  const links = linksOf(page).map((link) => {
    const [path, anchor] = link.split('#');
    return { link, anchor, target: path === '' ? page : posix.join(posix.dirname(page), path) };
  });

  it('links to files and headings that are there', () => {
    for (const { link, anchor, target } of links) {
      expect(existsSync(join(ROOT, target)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
    }
  });

  it('is packed with all that it links to', () => {
    expect(PACKED).toContain(page);
    for (const { link, target } of links) {
      const isFolder = statSync(join(ROOT, target)).isDirectory();
      const found = PACKED.some((path) =>
        isFolder ? path.startsWith(posix.join(target, '/')) : path === target,
      );
      expect(found, link).toBe(true);
    }
  });
});

describe('the verbs of README.md', () => {
  /** Its command lines, without their comments. */
  const lines = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^ternseed ([^#\n]+)/gm)].map(
    ([, line]) => line.trim(),
  );

  it('are all verbs that there are', async () => {
    const { stdout } = await cli(['--help']);
    const verbs = [...stdout.matchAll(/^ {2}(\w+) /gm)]
      .map(([, verb]) => verb)
      .filter((verb) => verb !== 'help');
    expect(new Set(lines.map((line) => line.split(' ')[0]))).toEqual(new Set(verbs));
  });

  const guided = [...readFileSync(join(ROOT, 'docs/guide.md'), 'utf8').matchAll(/^ternseed ([^#\n]+)/gm)];
  const all = [...lines, ...guided.map(([, line]) => line.trim())];
  it.each([...new Set(all)])('ternseed %s has options that there are', async (line) => {
    const [verb, source, ...rest] = line.split(' ');
    const { code, stdout } = await cli([verb, ...(verb === 'train' ? [source] : []), '--help']);
    expect(code).toBe(0);
    for (const option of [source, ...rest].filter((word) => word?.startsWith('--'))) {
      expect(stdout).toMatch(new RegExp(`^ +(-\\w, )?${option}\\b`, 'm'));
    }
  });

  it.skipIf(process.platform === 'win32')(
    'run by the command that npm ci leaves in node_modules/.bin',
    () => {
      const command = join(ROOT, 'node_modules/.bin/ternseed');
      const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8', cwd: dirname(ROOT) });
      expect(status).toBe(0);
      expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    },
  );
});
