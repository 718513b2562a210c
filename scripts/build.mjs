// Builds the package: AssemblyScript → two wasm binaries embedded in one generated module,
// TypeScript → dist. `node scripts/build.mjs kernels` makes the generated module alone.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

/** The script behind a package's command. */
function command(packageName, name) {
  const manifestPath = require.resolve(`${packageName}/package.json`);
  const { bin } = JSON.parse(readFileSync(manifestPath, 'utf8'));
  return join(dirname(manifestPath), typeof bin === 'string' ? bin : bin[name]);
}

function compileKernels(relaxed, folder) {
  const binary = join(folder, relaxed ? 'relaxed.wasm' : 'plain.wasm');
  const features = ['simd', 'threads', 'bulk-memory', ...(relaxed ? ['relaxed-simd'] : [])];
  execFileSync(
    process.execPath,
    [
      command('assemblyscript', 'asc'),
      'src/backend/wasm/assembly/index.ts',
      ...['-O3', '--noAssert', '--runtime', 'stub'],
      ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
      ...features.flatMap((feature) => ['--enable', feature]),
      ...['--use', `RELAXED=${relaxed ? 1 : 0}`],
      ...['--outFile', binary],
    ],
    { cwd: root, stdio: 'inherit' },
  );
  return readFileSync(binary).toString('base64');
}

function buildKernels() {
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-build-'));
  try {
    const relaxed = compileKernels(true, folder);
    const plain = compileKernels(false, folder);
    writeFileSync(
      join(root, 'src/backend/wasm/kernels.generated.ts'),
      `/** Made by scripts/build.mjs from assembly/. */\nexport const relaxedKernels =\n  '${relaxed}';\nexport const plainKernels =\n  '${plain}';\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

buildKernels();
if (process.argv[2] !== 'kernels') {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  execFileSync(process.execPath, [command('typescript', 'tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
}
