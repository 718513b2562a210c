// Builds the package: AssemblyScript → wasm binaries, two a set of kernels where relaxed SIMD
// matters, embedded in generated modules; TypeScript → dist. `node scripts/build.mjs kernels` makes the
// generated modules alone.

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

/** The sets of kernels: their source, what their memory is, and the module that embeds them. */
const KERNELS = [
  {
    source: 'src/backend/wasm/assembly/index.ts',
    memory: ['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
    features: ['threads'],
    target: 'src/backend/wasm/kernels.generated.ts',
  },
  {
    source: 'src/backprop/kernels/assembly/index.ts',
    memory: ['--importMemory', '--noExportMemory'], // TensorFlow.js's
    features: [],
    target: 'src/backprop/kernels/kernels.generated.ts',
  },
  {
    source: 'src/artifact/kernels/assembly/index.ts',
    memory: ['--importMemory', '--noExportMemory'],
    features: [],
    plainOnly: true, // integers alone: relaxed SIMD would not make it faster
    target: 'src/artifact/kernels/kernels.generated.ts',
  },
];

function compileKernels({ source, memory, features }, relaxed, folder) {
  const binary = join(folder, relaxed ? 'relaxed.wasm' : 'plain.wasm');
  const enabled = ['simd', 'bulk-memory', ...features, ...(relaxed ? ['relaxed-simd'] : [])];
  execFileSync(
    process.execPath,
    [
      command('assemblyscript', 'asc'),
      source,
      ...['-O3', '--noAssert', '--runtime', 'stub'],
      ...memory,
      ...enabled.flatMap((feature) => ['--enable', feature]),
      ...['--use', `RELAXED=${relaxed ? 1 : 0}`],
      ...['--outFile', binary],
    ],
    { cwd: root, stdio: 'inherit' },
  );
  const bytes = readFileSync(binary);
  requireNoData(bytes, source);
  return bytes.toString('base64');
}

/** Kernels work in a memory that belongs to somebody else: data of their own would be written over it. */
function requireNoData(bytes, source) {
  const DATA_SECTION = 11;
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at++];
    let size = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      size += (bytes[at] & 127) * 2 ** shift;
      more = bytes[at++] > 127;
    }
    if (id === DATA_SECTION) throw new Error(`${source} must not have static data`);
    at += size;
  }
}

function buildKernels(set) {
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-build-'));
  try {
    const builds = set.plainOnly ? { plain: false } : { relaxed: true, plain: false };
    const constants = Object.entries(builds).map(
      ([name, relaxed]) => `export const ${name}Kernels =\n  '${compileKernels(set, relaxed, folder)}';\n`,
    );
    writeFileSync(
      join(root, set.target),
      `/** Made by scripts/build.mjs from ${dirname(set.source)}. */\n${constants.join('')}`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

KERNELS.forEach(buildKernels);
if (process.argv[2] !== 'kernels') {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  execFileSync(process.execPath, [command('typescript', 'tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
}
