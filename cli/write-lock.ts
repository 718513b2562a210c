/**
 * One writer a file: `FILE.lock` stands beside a file as long as a process trains or writes it, and says
 * which one. A process that was killed leaves its lock behind; the next takes it over, because it can see
 * that nobody lives there any more, or only a zombie that nobody has reaped.
 *
 * `proper-lockfile` tells a dead holder by a timestamp that a timer renews: training steps, which keep the thread,
 * would let it age and lose the lock, and after a kill everyone would have to wait for it to age.
 */

import {
  closeSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { ConfigError, InputError, printable } from '../src/errors.js';
import { unusable } from './system-error.js';
import { INTERRUPTED } from './interrupted.js';

/** Who holds a lock. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, in the system's own count, so that a number used again is told apart; '' if unknown. */
  readonly born: string;
  /** When the lock was taken. */
  readonly since: string;
}

/** How every lock begins; one whose process died in the middle of it has less. */
const BEGINNING = '{"pid":';

/** So long is a lock without a holder waited for: its process is just writing it. */
const UNWRITTEN_MS = 2000;
const UNWRITTEN_POLL_MS = 5;

/** Locks of this process, which go when it ends. */
const held = new Set<WriteLock>();
process.on('exit', () => {
  for (const lock of held) lock.release();
});

/** What ends a process that may still tidy up. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ends in order, unless somebody else listens, who knows more to do. */
function end(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  process.stderr.write(`stopped by ${signal}\n`);
  process.exit(INTERRUPTED);
}

/** Listens as long as there is, or is about to be, a lock to give back. */
function listen(): void {
  for (const signal of SIGNALS) process.off(signal, end).on(signal, end);
}

function listenNoMore(): void {
  if (held.size === 0) for (const signal of SIGNALS) process.off(signal, end);
}

/** The right to write a file. */
export class WriteLock {
  private constructor(
    readonly path: string,
    readonly text: string,
  ) {
    held.add(this);
  }

  /**
   * Takes the lock of a file.
   * @param out - the file that is to be written
   * @throws {ConfigError} when another process writes it
   * @throws {InputError} when its folder cannot be written
   * @example const lock = WriteLock.take('mnist.tern');
   */
  static take(out: string): WriteLock {
    const path = lockPath(out);
    const holder = { pid: process.pid, host: hostname(), born: bornOf(process.pid), since: now() };
    const text = JSON.stringify(holder satisfies Holder);
    listen();
    try {
      while (!create(path, text, out)) {
        const found = readLock(path);
        if (found === null) continue; // it has just been released
        if (isUnwritten(found)) {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, UNWRITTEN_POLL_MS);
          continue;
        }
        const other = liveHolder(found);
        if (other) throw taken(out, other);
        takeAway(path, found);
      }
      return new WriteLock(path, text);
    } finally {
      listenNoMore();
    }
  }

  /** Gives the right back; nothing happens when it has been given back already. */
  release(): void {
    if (!held.delete(this)) return;
    if (readLock(this.path)?.text === this.text) rmSync(this.path, { force: true });
    listenNoMore();
  }
}

/**
 * Takes the lock of a file for what `begin` begins, which gives it back in the end; here only if it fails.
 * @throws {ConfigError} when another process writes the file
 */
export async function withLock<Begun>(
  out: string,
  begin: (lock: WriteLock) => Promise<Begun>,
): Promise<Begun> {
  const lock = WriteLock.take(out);
  try {
    return await begin(lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * Checks that no other process writes a file now.
 * @throws {ConfigError} when one does
 */
export function requireNoWriter(out: string): void {
  const path = lockPath(out);
  if ([...held].some((lock) => lock.path === path)) return; // a run's own end
  const found = readLock(path);
  const other = found && liveHolder(found);
  if (other) throw taken(out, other);
}

/** Where the lock of a file is. */
export function lockPath(out: string): string {
  return `${out}.lock`;
}

/** Makes the lock's file; false when there is one already. */
function create(path: string, text: string, out: string): boolean {
  let made = false;
  try {
    const file = openSync(path, 'wx');
    made = true;
    try {
      writeSync(file, text);
    } finally {
      closeSync(file);
    }
    return true;
  } catch (cause) {
    if (made) rmSync(path, { force: true });
    if (!made && (cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw unusable(out, 'to be writable', cause);
  }
}

interface Found {
  readonly text: string;
  /** Of the last change, in milliseconds. */
  readonly changed: number;
}

/**
 * What stands in a lock, or null when there is none.
 * @throws {InputError} when it is not one of ours: `yarn.lock` is no lock of `yarn`
 */
function readLock(path: string): Found | null {
  let found: Found;
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return null;
    if (!stats.isFile()) throw foreign(path);
    found = { changed: stats.mtimeMs, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unusable(path, 'to be readable', cause);
  }
  if (!BEGINNING.startsWith(found.text.slice(0, BEGINNING.length))) throw foreign(path);
  return found;
}

function foreign(path: string): InputError {
  return new InputError(
    `"${printable(path)}" expected a lock of ternseed, got something else of that name: choose another file to write`,
  );
}

/** Whether a lock's process has made the file and not yet written itself into it. */
function isUnwritten({ text, changed }: Found): boolean {
  return parseHolder(text) === null && Math.abs(Date.now() - changed) < UNWRITTEN_MS;
}

/** The process that holds a lock, or null when it is dead; what cannot be told counts as alive. */
function liveHolder({ text }: Found): Holder | null {
  const holder = parseHolder(text);
  if (!holder) return null;
  if (holder.host !== hostname()) return holder;
  const status = statusOf(holder.pid);
  if (status) return status.born === holder.born && !status.ended ? holder : null;
  try {
    process.kill(holder.pid, 0); // asks only whether it is there
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ESRCH' ? null : holder;
  }
  return holder;
}

function parseHolder(text: string): Holder | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null; // cut short: its process died while it wrote it
  }
  const { pid, host, born, since } = (value ?? {}) as Partial<Holder>;
  const known = Number.isSafeInteger(pid) && (pid as number) > 0;
  const texts = [host, born, since].every((one) => typeof one === 'string');
  return known && texts ? (value as Holder) : null;
}

/**
 * Takes a dead process's lock away. Two may try at once: renaming gives the file to one of them, and it is
 * put back if it is not the one that was found dead.
 */
function takeAway(path: string, found: Found): void {
  const aside = `${path}.${process.pid}`;
  try {
    if (readLock(path)?.text !== found.text) return;
    renameSync(path, aside);
    if (readLock(aside)?.text !== found.text) linkSync(aside, path);
    rmSync(aside);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return; // another was faster
    throw unusable(path, 'to be writable', cause);
  }
}

function taken(out: string, { pid, host, since }: Holder): ConfigError {
  const elsewhere = host === hostname() ? '' : ` on ${printable(host)}`;
  const remedy = elsewhere ? `, or delete "${printable(lockPath(out))}" if it is dead` : '';
  return new ConfigError(
    `"${printable(out)}" is being written by process ${pid}${elsewhere} since ${printable(since)}: ` +
      `wait for it, or choose another file${remedy}`,
  );
}

function bornOf(pid: number): string {
  return statusOf(pid)?.born ?? '';
}

interface ProcessStatus {
  readonly born: string;
  /** Dead, though its number is taken until its parent asks how it ended. */
  readonly ended: boolean;
}

/** Fields 3 and 22 of Linux's /proc/PID/stat; null elsewhere, where the number of a process must do. */
function statusOf(pid: number): ProcessStatus | null {
  if (process.platform !== 'linux') return null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name before it may hold anything
    return { born: fields[19] ?? '', ended: /^[ZXx]$/.test(fields[0]) };
  } catch {
    return null; // there is no such process, or it is not ours to see
  }
}

function now(): string {
  return new Date().toISOString();
}
