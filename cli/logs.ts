/** Seed logs for the verbs that take nothing else. */

import { type Artifact, openArtifact, type SeedLog } from '../src/artifact/artifact.js';
import { decodeLogIndex, encodeLogIndex, indexLog, rebuildIndexed } from '../src/artifact/log-index.js';
import { isUrl } from '../src/artifact/url-source.js';
import { ArtifactError, ConfigError, InputError, printable } from '../src/errors.js';
import { readBytes, readPathOrUrl } from './files.js';
import { writeAlone } from './write-lock.js';

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
 * @throws {ConfigError} when the log is at a URL
 */
export async function rebuildByIndex(
  log: SeedLog,
  file: string,
  step: number,
  base: Int8Array | undefined,
): Promise<Int8Array> {
  if (isUrl(file))
    throw new ConfigError(
      `"--index" keeps a file beside the log: expected a path, got the URL "${printable(file)}"`,
    );
  const path = `${file}.index`;
  const found = await readIndex(log, path);
  const checkpoints = found ?? (await indexLog(log, base));
  if (!found && checkpoints.length > 0) writeAlone(path, await encodeLogIndex(log, checkpoints));
  return rebuildIndexed(log, checkpoints, step, base);
}

async function readIndex(log: SeedLog, path: string) {
  try {
    return await decodeLogIndex(log, await readBytes(path));
  } catch (error) {
    if (error instanceof InputError) return null; // there is none
    if (!(error instanceof ArtifactError)) throw error;
    process.stderr.write(`"${printable(path)}" is made anew: ${error.message}\n`);
    return null;
  }
}
