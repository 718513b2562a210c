// After `npm ci` in a clone, and before all tests: builds the package if what it is made of has changed since, and puts
// its command beside those of other packages, as an installation of the package does: `node_modules/.bin/ternseed`.

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SOURCES = ['src', 'cli', 'scripts', 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
const PRODUCTS = ['dist/cli/main.js', 'dist/browser/ternseed.js', 'src/backend/wasm/layers.generated.ts'];

const changed = Math.max(...SOURCES.flatMap(filesOf).filter(isSource).map(timeOf));
if (PRODUCTS.some((product) => timeOf(product) < changed)) {
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: root, stdio: 'inherit' });
}
linkCommand();

function filesOf(path) {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  return readdirSync(join(root, path), { recursive: true }).map((name) => join(path, name));
}

function isSource(path) {
  return !path.endsWith('.generated.ts');
}

/** When a file was written; never, if it is not there. */
function timeOf(path) {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
}

function linkCommand() {
  const bin = join(root, 'node_modules/.bin');
  if (!existsSync(bin)) return; // packed from a clone without dependencies
  const main = join(root, 'dist/cli/main.js');
  chmodSync(main, 0o755);
  if (process.platform === 'win32') {
    writeFileSync(join(bin, 'ternseed.cmd'), '@node "%~dp0\\..\\..\\dist\\cli\\main.js" %*\r\n');
  } else {
    rmSync(join(bin, 'ternseed'), { force: true });
    symlinkSync('../../dist/cli/main.js', join(bin, 'ternseed'));
  }
}
