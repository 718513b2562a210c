// What it takes to have each library: bytes installed, seconds to install from a warm cache, and how soon our
// command line answers.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../report.mjs';

function bytesOf(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}

/** Installs what a manifest asks for into an empty folder; bytes of node_modules, and seconds of the second time. */
function installed(prepare, args) {
  const times = [];
  let bytes = 0;
  for (let run = 0; run < 2; run++) {
    const folder = mkdtempSync(join(tmpdir(), 'ternseed-install-'));
    prepare(folder);
    const begun = performance.now();
    execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund', '--prefer-offline'], {
      cwd: folder,
      stdio: 'ignore',
    });
    times.push((performance.now() - begun) / 1000);
    bytes = bytesOf(join(folder, 'node_modules'));
    rmSync(folder, { recursive: true });
  }
  return { bytes, seconds: times[1] };
}

/** Ours as packed for publication, with and without TensorFlow.js, and each peer. */
export function installations() {
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-pack-'));
  const [{ filename, size }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  const tarball = join(folder, filename);
  const ours = (flags) =>
    installed((empty) => writeFileSync(join(empty, 'package.json'), '{}'), ['install', ...flags, tarball]);
  const rows = [
    { name: 'ternseed', packedBytes: size, ...ours(['--omit=optional', '--omit=peer']) },
    { name: 'ternseed with the ste trainer', packedBytes: size, ...ours(['--omit=peer']) },
  ];
  rmSync(folder, { recursive: true });
  for (const peer of ['tfjs', 'jax', 'onnxruntime']) {
    const home = join(root, 'bench/peers', peer);
    const copy = (empty) => {
      for (const name of ['package.json', 'package-lock.json']) cpSync(join(home, name), join(empty, name));
    };
    rows.push({
      name: { tfjs: 'TensorFlow.js', jax: 'jax-js', onnxruntime: 'onnxruntime-node' }[peer],
      ...installed(copy, ['ci', '--ignore-scripts']),
    });
  }
  return rows;
}

/** Milliseconds of `ternseed --help`, and of a Node that does nothing: the least of some runs. */
export function startTimes(runs) {
  const time = (args) => {
    const times = [];
    for (let run = 0; run < runs; run++) {
      const begun = performance.now();
      spawnSync(process.execPath, args, { stdio: 'ignore' });
      times.push(performance.now() - begun);
    }
    return Math.min(...times);
  };
  const main = join(root, 'dist/cli/main.js');
  if (!existsSync(main)) throw new Error('run `npm run build` first');
  return { helpMs: time([main, '--help']), nodeMs: time(['-e', '0']) };
}
