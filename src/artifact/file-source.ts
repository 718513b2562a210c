/** A source of a file by its path. Only for Node; a browser has Files and Blobs. */

import { platform } from '../backend/platform/platform.js';
import { InputError, printable } from '../errors.js';
import { type ByteSource, checkRange, shortRead, WHOLE_BYTES_MAX } from './byte-source.js';

/**
 * Opens a file; it stays open until `close`.
 * @throws {InputError} when it cannot be opened, is no file, or has more than 2³⁰ bytes
 * @example const artifact = await openArtifactFrom(await fileSource('mnist.tern'));
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const { platform: host } = await platform();
  const unreadable = (cause: unknown) => {
    const { code, message } = cause as NodeJS.ErrnoException;
    return new InputError(`"${printable(path)}" expected to be readable, got ${code ?? message}`, { cause });
  };
  const file = await host.openFile(path).catch((cause) => {
    throw unreadable(cause);
  });
  const about = await file.stat();
  if (!about.isFile()) {
    await file.close();
    throw new InputError(`"${printable(path)}" expected a file, got something else`);
  }
  const { size } = about;
  if (size > WHOLE_BYTES_MAX) {
    await file.close();
    throw new InputError(`"${printable(path)}" expected at most ${WHOLE_BYTES_MAX} bytes, got ${size}`);
  }
  return {
    name: path,
    size,
    read: async (offset, length) => {
      checkRange(size, offset, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done).catch((cause) => {
          throw unreadable(cause);
        });
        if (bytesRead === 0) throw shortRead(path, offset, length, done);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => file.close(),
  };
}
