/** Packages that are not installed with ternseed, or may be missing: loaded when they are asked for. */

import { BackendError, printable } from '../errors.js';

/**
 * Loads a package.
 * @param backend - on whose behalf, for the message
 * @param packageName - what to install, with its version where only one will do
 * @param wants - what its installation wants beside that
 * @throws {BackendError} when it is missing or does not start, with what to do
 */
export async function loadOptional<Module>(
  backend: string,
  packageName: string,
  load: () => Promise<Module>,
  { version, wants }: { readonly version?: string; readonly wants?: string } = {},
): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    const exact = version === undefined ? packageName : `${packageName}@${version}`;
    const remedy = `\`npm install ${exact}\`${wants ? ` (${wants})` : ''}`;
    throw new BackendError(
      missing
        ? `the ${backend} backend expected the package "${packageName}", got none installed: ${remedy}`
        : `the ${backend} backend expected "${packageName}" to start, got ${printable(message)}: try ${remedy}`,
      { cause },
    );
  }
}
