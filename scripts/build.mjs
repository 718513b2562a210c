// Builds the package: AssemblyScript → wasm binaries, two a set of kernels (with and without relaxed
// SIMD, where that matters), embedded in generated modules; TypeScript → dist; and the modules for browsers →
// dist/browser. `node scripts/build.mjs kernels` makes the generated modules alone. A generated module names the
// digest of what it was made from, and is made again only when that has changed.

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import { BACKPROP_REFUSAL, BROWSER_MODULES, bundleForBrowsers, refuseBackprop } from './browser.mjs';

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
  ...['layers', 'layers-training', 'signed', 'signed-training', 'all'].map((set) => ({
    source: 'src/backend/wasm/assembly/index.ts',
    memory: ['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
    features: ['threads'],
    // Which operations and jobs are in it: see src/ops/wasm.ts and assembly/jobs.ts.
    constants: {
      LAYERS: !set.startsWith('signed'),
      SIGNED: !set.startsWith('layers'),
      TRAINING: set === 'all' || set.endsWith('-training'),
    },
    target: `src/backend/wasm/${set}.generated.ts`,
  })),
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

async function compileKernels({ source, memory, features, constants = {} }, relaxed, folder) {
  const binary = join(folder, relaxed ? 'relaxed.wasm' : 'plain.wasm');
  const enabled = ['simd', 'bulk-memory', ...features, ...(relaxed ? ['relaxed-simd'] : [])];
  await promisify(execFile)(
    process.execPath,
    [
      command('assemblyscript', 'asc'),
      source,
      ...['-O3', '--noAssert', '--runtime', 'stub'],
      ...memory,
      ...enabled.flatMap((feature) => ['--enable', feature]),
      ...Object.entries({ RELAXED: relaxed, ...constants }).flatMap(([name, value]) => [
        '--use',
        `${name}=${value ? 1 : 0}`,
      ]),
      ...['--outFile', binary],
    ],
    { cwd: root },
  );
  const bytes = readFileSync(binary);
  requireNoData(bytes, source);
  return bytes;
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

/** The digest of all that decides the bytes of kernels: their sources, how they are built, and the compiler. */
function digestOfSources() {
  const sources = readdirSync(join(root, 'src'), { recursive: true })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => /assembly\/.*\.ts$|^ops\/(.*\/)?wasm\.ts$/.test(path));
  const compiler = readFileSync(require.resolve('assemblyscript/package.json'));
  const hash = createHash('sha256')
    .update(compiler)
    .update(readFileSync(fileURLToPath(import.meta.url)));
  for (const path of sources.sort()) hash.update(path).update(readFileSync(join(root, 'src', path)));
  return hash.digest('hex');
}

async function buildKernels(set, digest) {
  const target = join(root, set.target);
  const notice = `/** Made by scripts/build.mjs from ${set.source}; its sources have the digest ${digest}. */\n`;
  if (existsSync(target) && readFileSync(target, 'utf8').startsWith(notice)) return;
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-build-'));
  try {
    const relaxed = set.plainOnly ? Buffer.alloc(0) : await compileKernels(set, true, folder);
    const plain = await compileKernels(set, false, folder);
    // The builds have most of their bytes in common: deflated as one they take little more than either.
    const embedded = {
      relaxedBytes: relaxed.length,
      plainBytes: plain.length,
      deflated: deflateRawSync(Buffer.concat([relaxed, plain]), { level: 9 }).toString('base64'),
    };
    writeFileSync(target, `${notice}export const kernels = ${JSON.stringify(embedded)};\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const digest = digestOfSources();
const waiting = [...KERNELS];
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let set = waiting.shift(); set; set = waiting.shift()) await buildKernels(set, digest);
  }),
);
if (process.argv[2] !== 'kernels') {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  execFileSync(process.execPath, [command('typescript', 'tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  mkdirSync(join(root, 'dist/browser/chunks'), { recursive: true });
  for (const module of Object.keys(BROWSER_MODULES)) {
    for (const { name, text } of await bundleForBrowsers(module)) {
      writeFileSync(join(root, 'dist/browser', name), text);
    }
  }
  writeFileSync(join(root, 'dist/browser', BACKPROP_REFUSAL), await refuseBackprop());
}
