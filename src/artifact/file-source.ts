/** A source of a file by its path. Only for Node; a browser has Files and Blobs. */

import { platform } from '../backend/platform/platform.js';
import { InputError, printable } from '../errors.js';
import { type ByteSource, checkRange, shortRead, WHOLE_BYTES_MAX } from './byte-source.js';

/**
 * Opens a file; it stays open until `close`.
 * @throws {InputError} when it cannot be opened, is no file, or has more than 2³⁰ bytes
 * @example const artifact = await openArtifactFrom(await fileSource('mnist.tern'));
 */
export async function fileSource(file: string | URL): Promise<ByteSource> {
  const { platform: host } = await platform();
  const path = String(file);
  const unreadable = (cause: unknown) => {
    const { code, message } = cause as NodeJS.ErrnoException;
    return new InputError(`"${printable(path)}" expected to be readable, got ${code ?? message}`, { cause });
  };
  const open = await host.openFile(file).catch((cause) => {
    throw unreadable(cause);
  });
  const about = await open.stat();
  if (!about.isFile()) {
    await open.close();
    throw new InputError(`"${printable(path)}" expected a file, got something else`);
  }
  const { size } = about;
  if (size > WHOLE_BYTES_MAX) {
    await open.close();
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
        const { bytesRead } = await open.read(bytes, done, length - done, offset + done).catch((cause) => {
          throw unreadable(cause);
        });
        if (bytesRead === 0) throw shortRead(path, offset, length, done);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => open.close(),
  };
}
