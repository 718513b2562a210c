/** What the system says of a file, in our wording. */

import { InputError, printable } from '../src/errors.js';

/** A system's error in our wording. */
export function unusable(path: string, what: string, cause: unknown): InputError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reasons: Record<string, string> = {
    ENOENT: 'no such file or folder',
    ENOTDIR: 'a file where a folder should be',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'a read-only file system',
    EISDIR: 'a folder',
    ENOSPC: 'no space left on the disk',
    EDQUOT: 'no space left in the quota',
    ELOOP: 'a loop of symbolic links',
    EPIPE: 'a reader that has gone',
    ENXIO: 'nobody at its other end',
    EBADF: 'a descriptor that is not open',
    EBUSY: 'a mount point, which cannot be replaced',
    ENAMETOOLONG: 'a name that is too long',
  };
  return new InputError(`"${printable(path)}" expected ${what}, got ${reasons[code ?? ''] ?? message}`, {
    cause,
  });
}
