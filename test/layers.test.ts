/**
 * Layers point one way: what a folder may import, read from the sources themselves. A folder
 * without a rule fails, so that a new one gets its rule with its first file.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What each unit may import of src beside itself; a name with a dot is a single file. */
const ALLOWED: Record<string, readonly string[]> = {
  'errors.ts': [],
  'watch.ts': [],
  ternary: ['errors.ts'],
  ops: ['ternary'],
  'ops/ste': ['ops', 'ternary', 'backprop'],
  'ops/webgpu': ['ops', 'ternary', 'random', 'backend'],
  random: ['errors.ts'],
  'typed-arrays.ts': ['errors.ts'],
  backend: ['ops', 'ops/webgpu', 'ternary', 'random', 'errors.ts', 'typed-arrays.ts', 'watch.ts'],
  artifact: ['backend', 'ternary', 'random', 'errors.ts', 'watch.ts'],
  quantize: ['ternary', 'errors.ts'],
  exchange: ['artifact', 'backend', 'quantize', 'ternary', 'random', 'errors.ts', 'watch.ts'],
  train: ['artifact', 'backend', 'data', 'ternary', 'random', 'errors.ts'],
  perturb: ['train', 'artifact', 'backend', 'ops', 'ternary', 'random', 'data', 'errors.ts'],
  backprop: [
    'backend',
    'ops',
    'ops/ste',
    'ternary',
    'random',
    'data',
    'quantize',
    'errors.ts',
    'train',
    'artifact',
    'watch.ts',
  ],
  data: ['random', 'errors.ts', 'typed-arrays.ts', 'watch.ts', 'artifact/crc32.ts', 'artifact/inputs.ts'],
  'index.ts': [
    ...['artifact', 'backend', 'backprop', 'data', 'exchange', 'perturb', 'quantize', 'ternary', 'random'],
    'train',
    'errors.ts',
    'watch.ts',
  ],
};

/** Packages that each unit may import; Node's own are a rule apart. */
const PACKAGES: Record<string, readonly string[]> = {
  artifact: ['fflate'],
  backend: ['fflate', 'webgpu'],
  data: ['fflate'],
  random: ['@noble/hashes/sha2.js', '@noble/hashes/utils.js'],
  backprop: [
    '@tensorflow/tfjs-core',
    '@tensorflow/tfjs-backend-cpu',
    '@tensorflow/tfjs-backend-wasm',
    '@tensorflow/tfjs-backend-webgpu',
  ],
  'ops/ste': ['@tensorflow/tfjs-core'],
  cli: ['commander', 'seedrandom'],
};

interface Import {
  /** Path of the importing file. */
  readonly from: string;
  /** The path of a file of the project, or a package's name. */
  readonly target: string;
  /** Whether it is an `import(…)` call. */
  readonly dynamic: boolean;
}

function importsOf(from: string, source: string): Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const found = (pattern: RegExp, dynamic: boolean) =>
    Array.from(code.matchAll(pattern), ([, specifier]) => {
      const local = posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts');
      return { from, target: specifier.startsWith('.') ? local : specifier, dynamic };
    });
  return [
    ...found(/^\s*(?:import|export)\b[^;'"]*?\bfrom\s*['"]([^'"]+)['"]/gm, false),
    ...found(/^\s*import\s*['"]([^'"]+)['"]/gm, false),
    ...found(/\b(?:import|require)\s*\(\s*['"]([^'"]+)['"]/g, true),
  ];
}

const sources = ['src', 'cli'].flatMap(
  (folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => posix.join(folder, path.replaceAll('\\', '/')))
      .filter((path) => !/\/assembly\/|^src\/ops\/(.*\/)?wasm\.ts$/.test(path)), // AssemblyScript
);
const imports = sources.flatMap((path) => importsOf(path, readFileSync(join(root, path), 'utf8')));

/** `src/random/philox.ts` is of the unit `random`, `src/errors.ts` of `errors.ts`, `cli/x.ts` of `cli`. */
function unitOf(path: string): string {
  if (/^src\/ops\/(.*\/)?ste\.ts$/.test(path)) return 'ops/ste'; // an operation's part for one trainer
  if (/^src\/ops\/(.*\/)?(more-)?webgpu[^/]*\.ts$/.test(path)) return 'ops/webgpu'; // and for one backend
  const [top, unit] = path.split('/');
  return top === 'src' ? unit : top;
}

const text = ({ from, target }: Import) => `${from} imports ${target}`;
const isLocal = ({ target }: Import) => target.startsWith('src/') || target.startsWith('cli/');

describe('the scan', () => {
  it('sees every form of import', () => {
    const source = `
      import a, { type B } from '../random/philox.js';
      import {
        c,
      } from "../errors.js";
      import './d.js';
      export * from './e.js';
      // import no from './comment.js';
      /* import no from './comment.js'; */
      const f = await import('node:os');`;
    expect(importsOf('src/ternary/x.ts', source).map(({ target }) => target)).toEqual([
      'src/random/philox.ts',
      'src/errors.ts',
      'src/ternary/e.ts',
      'src/ternary/d.ts',
      'node:os',
    ]);
  });

  it('finds the sources, and every import of a file is one of them', () => {
    expect(sources).toEqual(expect.arrayContaining(['src/errors.ts', 'src/ternary/trits.ts', 'cli/main.ts']));
    const missing = imports.filter(isLocal).filter(({ target }) => !sources.includes(target));
    expect(missing.map(text)).toEqual([]);
  });
});

it('no files import each other in a circle', () => {
  // Types count: what needs each other belongs together, or both need a third.
  const targets = new Map(sources.map((path): [string, string[]] => [path, []]));
  for (const { from, target, dynamic } of imports) if (!dynamic) targets.get(from)?.push(target);
  /** The files on the way from one to itself, if there is a way. */
  const circleOf = (start: string): string[] => {
    const before = new Map<string, string>();
    const waiting = [start];
    for (const path of waiting) {
      for (const target of targets.get(path) ?? []) {
        if (target === start) {
          const circle = [path];
          while (circle[0] !== start) circle.unshift(before.get(circle[0]) as string);
          return circle;
        }
        if (before.has(target)) continue;
        before.set(target, path);
        waiting.push(target);
      }
    }
    return [];
  };
  expect(sources.map(circleOf).filter(({ length }) => length > 0)).toEqual([]);
});

describe('layers', () => {
  const units = [...new Set(sources.filter((path) => path.startsWith('src/')).map(unitOf))].sort();

  it('have a rule each', () => {
    expect(units).toEqual(Object.keys(ALLOWED).sort());
  });

  it.each(units)('src/%s imports what its rule allows', (unit) => {
    const wrong = imports
      .filter(({ from }) => from.startsWith('src/') && unitOf(from) === unit)
      .filter(isLocal)
      .filter(({ target }) => {
        const allowed = target.startsWith('src/') && [unit, ...(ALLOWED[unit] ?? [])];
        return (
          !allowed || ![unitOf(target), target.slice('src/'.length)].some((name) => allowed.includes(name))
        );
      });
    expect(wrong.map(text)).toEqual([]);
  });

  it('have operations’ parts for the GPU, which its backend alone imports, as they import it alone', () => {
    const isBackend = (path: string) => path.startsWith('src/backend/webgpu/');
    const wrong = imports
      .filter(({ from, target }) => unitOf(target) === 'ops/webgpu' || unitOf(from) === 'ops/webgpu')
      .filter(({ from, target }) => {
        if (unitOf(from) !== 'ops/webgpu') return !isBackend(from);
        return unitOf(target) === 'backend' && !isBackend(target) && target !== 'src/backend/backend.ts';
      });
    expect(wrong.map(text)).toEqual([]);
  });

  it('keep architectures out of the GPU’s backend', () => {
    const models = ['src/ternary/network.ts', 'src/ternary/transformer.ts'];
    const wrong = imports.filter(
      ({ from, target }) => from.startsWith('src/backend/webgpu/') && models.includes(target),
    );
    expect(wrong.map(text)).toEqual([]);
    const named = sources.filter((path) => path.startsWith('src/backend/webgpu/'));
    expect(
      named.filter((path) =>
        /perceptron|transformer|\.architecture/i.test(readFileSync(join(root, path), 'utf8')),
      ),
    ).toEqual([]);
  });

  it('take only the packages they need', () => {
    const wrong = imports
      .filter((found) => !isLocal(found) && !found.target.startsWith('node:'))
      .filter(({ from, target }) => !PACKAGES[unitOf(from)]?.includes(target));
    expect(wrong.map(text)).toEqual([]);
  });

  const NODE_ONLY = [
    ...['src/data/bounded-file.ts', 'src/data/dataset.ts', 'src/data/idx-files.ts', 'src/data/text.ts'],
    'src/backend/platform/node.ts',
    ...['src/backprop/gradient-thread.ts', 'src/backprop/gradient-threads.ts'],
  ];

  it('need Node only in cli/ and where a browser never comes', () => {
    const wrong = imports
      .filter(({ target }) => target.startsWith('node:'))
      .filter(({ from }) => unitOf(from) !== 'cli' && !NODE_ONLY.includes(from));
    expect(wrong.map(text)).toEqual([]);
  });

  it('load what needs Node from the command line, or when the platform is found to be Node', () => {
    const loads = imports
      .filter(({ from, target }) => unitOf(from) !== 'cli' && NODE_ONLY.includes(target))
      .map((found) => `${text(found)}${found.dynamic ? ' while it runs' : ''}`);
    expect(loads).toEqual([
      // All of these are for Node alone.
      'src/backprop/gradient-threads.ts imports src/backprop/gradient-thread.ts',
      'src/backprop/train.ts imports src/backprop/gradient-threads.ts',
      'src/data/dataset.ts imports src/data/idx-files.ts',
      'src/data/text.ts imports src/data/bounded-file.ts',
      'src/backend/platform/platform.ts imports src/backend/platform/node.ts while it runs',
    ]);
  });

  it('let `--help` come without loading a trainer, a kernel or the file format', () => {
    // Types are not loaded, but `importsOf` sees them: what is reached through them may only be more.
    const statically = (path: string) => imports.filter(({ from, dynamic }) => from === path && !dynamic);
    const reached = new Set(['cli/main.ts']);
    for (const path of reached) {
      for (const { target } of statically(path).filter(isLocal)) reached.add(target);
    }
    const heavy = [...reached].filter((path) =>
      /^src\/(perturb|backprop|artifact|data)\/|\/wasm\//.test(path),
    );
    expect(heavy).toEqual([]);
    expect(reached.size).toBeLessThan(20);
  });
});
