/** Seed logs for the verbs that take nothing else. */

import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Artifact, openArtifact, type SeedLog } from '../src/artifact/artifact.js';
import { preamble } from '../src/artifact/container.js';
import { decodeLogIndex, encodeLogIndex, indexLog, rebuildIndexed } from '../src/artifact/log-index.js';
import { isUrl } from '../src/artifact/url-request.js';
import { ArtifactError, ConfigError, InputError, printable } from '../src/errors.js';
import { Destination } from './destination.js';
import { readBytes, readPathOrUrl } from './files.js';
import { unusable } from './system-error.js';
import { count, shown } from './output.js';

/** Those by which every file of ours begins. */
const MAGIC_BYTES = 4;

const KEY_BYTES = 32;

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
 * The weights after a step, by the side index `FILE.index`, which is made if it is missing, damaged, another log's or
 * another user's.
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
  const key = indexKey();
  const found = await readIndex(log, path, key);
  const checkpoints =
    found ?? (await shown('indexing the log', 'steps', (watch) => indexLog(log, base, watch)));
  if (!found && checkpoints.length > 0) {
    const bytes = await encodeLogIndex(log, checkpoints, key);
    await Destination.open(path, { force: true }, [file]).write([bytes]);
  }
  return shown(`rebuilding step ${count(step)}`, 'steps', (watch) =>
    rebuildIndexed(log, checkpoints, step, base, watch),
  );
}

async function readIndex(log: SeedLog, path: string, key: Uint8Array) {
  if (!existsSync(path)) return null;
  const bytes = await readBytes(path);
  try {
    return await decodeLogIndex(log, bytes, key);
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

/**
 * What the indexes of this user are signed with: random bytes in the user's own cache folder, made when they are first
 * needed.
 * @throws {InputError} when they cannot be kept there
 */
function indexKey(): Uint8Array {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ternseed');
  const path = join(folder, 'index.key');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!existsSync(path)) makeKey(path);
    const key = readFileSync(path);
    if (key.length === KEY_BYTES) return new Uint8Array(key);
  } catch (cause) {
    throw unusable(path, 'to be readable and writable for "--index"', cause);
  }
  throw new InputError(`"${printable(path)}" expected ${KEY_BYTES} bytes: delete it, and it is made again`);
}

/** Makes the key whole, unless another process has just done so. */
function makeKey(path: string): void {
  const beside = `${path}.${process.pid}`;
  writeFileSync(beside, randomBytes(KEY_BYTES), { mode: 0o600 });
  try {
    linkSync(beside, path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
  } finally {
    rmSync(beside);
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
