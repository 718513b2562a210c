/**
 * Before all tests: builds the package when `dist` or the kernels are missing or older than their sources, and
 * installs the newer Node that artifacts are compared with.
 */

import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SOURCES = ['src', 'cli', 'scripts', 'tsconfig.json', 'tsconfig.build.json'];
const PRODUCTS = ['dist/cli/main.js', 'dist/browser/ternseed.js', 'src/backend/wasm/perceptron.generated.ts'];

export function setup(): void {
  const changed = Math.max(...SOURCES.flatMap(filesOf).filter(isSource).map(timeOf));
  if (PRODUCTS.some((product) => timeOf(product) < changed)) {
    execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: ROOT, stdio: 'inherit' });
  }
  if (timeOf('test/newer-node/node_modules/.bin/node') === Number.NEGATIVE_INFINITY) {
    execFileSync('npm', ['ci', '--silent'], { cwd: join(ROOT, 'test/newer-node'), stdio: 'inherit' });
  }
}

function filesOf(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return readdirSync(join(ROOT, path), { recursive: true, encoding: 'utf8' }).map((name) => join(path, name));
}

function isSource(path: string): boolean {
  return !path.endsWith('.generated.ts');
}

/** When a file was written; never, if it is not there. */
function timeOf(path: string): number {
  return statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
}
