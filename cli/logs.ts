/** Seed logs for the verbs that take nothing else. */

import { existsSync, statSync } from 'node:fs';
import { type Artifact, openArtifact, type SeedLog } from '../src/artifact/artifact.js';
import { preamble } from '../src/artifact/container.js';
import { decodeLogIndex, encodeLogIndex, indexLog, rebuildIndexed } from '../src/artifact/log-index.js';
import { isUrl } from '../src/artifact/url-source.js';
import { ArtifactError, ConfigError, printable } from '../src/errors.js';
import { Destination } from './destination.js';
import { readBytes, readPathOrUrl } from './files.js';

/** Those by which every file of ours begins. */
const MAGIC_BYTES = 4;

/**
 * An artifact that must be a log.
 * @throws {ArtifactError} when it is not
 */
export function requireLog(artifact: Artifact): SeedLog {
  if (artifact.kind === 'log') return artifact;
  throw new ArtifactError(`header at byte 5: expected a log, got a ${artifact.kind}, which keeps no history`);
}

/** Opens a file that must be a log. */
export async function openLog(file: string): Promise<SeedLog> {
  return requireLog(openArtifact(await readPathOrUrl(file)));
}

/**
 * The weights after a step, by the side index `FILE.index`, which is made if it is missing, damaged or another's.
 * @param base - of a delta, the weights of its base
 * @throws {ConfigError} when the log is no file, so that nothing is beside it, or there is something else
 */
export async function rebuildByIndex(
  log: SeedLog,
  file: string,
  step: number,
  base: Int8Array | undefined,
): Promise<Int8Array> {
  if (isUrl(file) || file === '-' || !statSync(file).isFile()) {
    const got = `${isUrl(file) ? 'the URL ' : ''}"${printable(file)}"`;
    throw new ConfigError(`"--index" keeps a file beside the log: expected a path, got ${got}`);
  }
  const path = `${file}.index`;
  const found = await readIndex(log, path);
  const checkpoints = found ?? (await indexLog(log, base));
  if (!found && checkpoints.length > 0) {
    await Destination.open(path, { force: true }, [file]).write([await encodeLogIndex(log, checkpoints)]);
  }
  return rebuildIndexed(log, checkpoints, step, base);
}

async function readIndex(log: SeedLog, path: string) {
  if (!existsSync(path)) return null;
  const bytes = await readBytes(path);
  try {
    return await decodeLogIndex(log, bytes);
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    if (!isReplaceable(bytes)) {
      throw new ConfigError(
        `"--index" expected an index in "${printable(path)}", got something else: move it away`,
      );
    }
    process.stderr.write(`"${printable(path)}" is made again: ${error.message}\n`);
    return null;
  }
}

/** Whether a file can be nothing but an index, of this log or another, whole or not. */
function isReplaceable(bytes: Uint8Array): boolean {
  const magic = preamble().subarray(0, MAGIC_BYTES);
  if (!bytes.subarray(0, MAGIC_BYTES).every((byte, i) => byte === magic[i])) return false;
  try {
    openArtifact(bytes);
    return false;
  } catch {
    return true;
  }
}
