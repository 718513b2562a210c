/**
 * What a machine may lack beside Node, and how tests that need it say so: they are skipped, with the reason in their
 * name. `.ci/run` installs everything, and counts a test that is skipped as failed.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The end of the name of a test that something is missing for. */
export function because(fault: string | null): string {
  return fault === null ? '' : ` (skipped: ${fault})`;
}

/** Why there is no Python 3 here, or null where there is. */
export const pythonFault: string | null =
  spawnSync('python3', ['--version']).status === 0 ? null : 'no python3 on the PATH';

const NEWER_NODE = fileURLToPath(new URL('../newer-node/package.json', import.meta.url));

/** A newer Node, of the npm package `node`; null where it is not installed. */
export const newerNode: string | null = (() => {
  let manifest: string;
  try {
    manifest = createRequire(NEWER_NODE).resolve('node/package.json');
  } catch {
    return null;
  }
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { node: string } };
  const binary = join(dirname(manifest), bin.node);
  return existsSync(binary) ? binary : null;
})();

/** Why there is no newer Node here, or null where there is. */
export const newerNodeFault: string | null =
  newerNode === null ? 'no newer Node: npm ci --prefix test/newer-node' : null;
