/**
 * What a verb prints: human text or one JSON object on stdout, progress and logs on stderr.
 */

import type { Watch } from '../src/watch.js';

/**
 * Writes the result: the object with `--json`, else the lines.
 * @param to - where: not to standard output where an artifact has gone there
 */
export function printResult(
  json: boolean,
  result: object,
  lines: readonly string[],
  to: NodeJS.WritableStream = process.stdout,
): void {
  to.write(json ? `${JSON.stringify(result)}\n` : `${lines.join('\n')}\n`);
}

/** A word of a command as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A sentence beside the result, on stderr. */
export function note(sentence: string): void {
  process.stderr.write(`note: ${sentence}\n`);
}

/** `label  value` lines, the labels padded to one width. */
export function table(rows: readonly (readonly [label: string, value: string])[]): string[] {
  const width = rows.reduce((most, [label]) => Math.max(most, label.length), 0);
  return rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
}

/** 12345 as `12,345`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 0.9712 as `97.12%`. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}

/** What a text was judged by: `111,539 bytes`, or `262,144 of 20,000,000 bytes`. */
export function evaluated({ examples, total }: { examples: number; total: number }): string {
  return examples === total ? `${count(total)} bytes` : `${count(examples)} of ${count(total)} bytes`;
}

/** Seconds as `8.2 s` or `3 min 12 s`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * The progress of long work on stderr: one line that is drawn over where stderr is a terminal,
 * else a plain line now and then.
 */
export class Progress {
  readonly #terminal = process.stderr.isTTY === true;
  readonly #every = this.#terminal ? 200 : 10_000;
  #last = performance.now() - this.#every / 2;
  #drawn = false;

  /** Shows the line that `text` makes, unless one was shown just now. */
  show(text: () => string): void {
    const now = performance.now();
    if (now - this.#last < this.#every) return;
    this.#last = now;
    if (this.#terminal) {
      process.stderr.write(`\r${text().slice(0, (process.stderr.columns ?? 80) - 1)}\u001b[K`);
      this.#drawn = true;
    } else {
      process.stderr.write(`${text()}\n`);
    }
  }

  /**
   * Shows how far some work is.
   * @param what - is done: `rebuilding`
   * @param units - that it is counted in: `steps`
   */
  watch(what: string, units: string): Watch {
    return {
      onProgress: (done, total) =>
        this.show(() => `${what}: ${count(done)} of ${count(total)} ${units} (${percent(done / total)})`),
    };
  }

  /** A line that stays. */
  log(text: string): void {
    this.clear();
    process.stderr.write(`${text}\n`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#drawn) process.stderr.write('\r\u001b[K');
    this.#drawn = false;
  }
}

/**
 * Runs work that shows how far it is: `rebuilding: 1,200 of 5,000 steps (24.00%)`.
 * @param what - is done
 * @param units - that it is counted in
 */
export async function shown<Result>(
  what: string,
  units: string,
  work: (watch: Watch) => Promise<Result>,
): Promise<Result> {
  const progress = new Progress();
  try {
    return await work(progress.watch(what, units));
  } finally {
    progress.clear();
  }
}
