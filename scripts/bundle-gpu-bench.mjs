// Makes dist/bench/gpu.mjs: bench/gpu.mjs and all of the package that it needs in one file, for a machine that
// has a GPU, Node and the package webgpu, and nothing else.
//
//   node scripts/bundle-gpu-bench.mjs [FILE]

import { join } from 'node:path';
import { build } from 'esbuild';
import { circumstances, root } from '../bench/report.mjs';

const outfile = process.argv[2] ?? join(root, 'dist/bench/gpu.mjs');
await build({
  absWorkingDir: root,
  entryPoints: ['bench/gpu.mjs'],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['webgpu'],
  define: { 'globalThis.BUNDLED_COMMIT': JSON.stringify(circumstances().commit) },
});
process.stdout.write(`${outfile}\n`);
