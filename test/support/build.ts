/** Before all tests: builds the package when `dist` or the kernels are missing or older than their sources. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function setup(): void {
  const prepare = fileURLToPath(new URL('../../scripts/prepare.mjs', import.meta.url));
  execFileSync(process.execPath, [prepare], { stdio: 'inherit' });
}
