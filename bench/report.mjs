// What every benchmark shares: the machine and commit beside the figures, statistics, running
// the command line, and writing JSON and a table under bench/results/.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where and when figures were taken. */
export function circumstances() {
  // A bundle is told its commit when it is made: where it runs there is no repository.
  const bundled = globalThis.BUNDLED_COMMIT;
  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  return {
    date: new Date().toISOString().slice(0, 10),
    commit:
      bundled ??
      git('rev-parse', '--short', 'HEAD') +
        (git('status', '--porcelain', 'src', 'cli', 'bench', ':!bench/results', 'package-lock.json')
          ? '+'
          : ''),
    processor: cpus()[0].model,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
  };
}

/** Runs the command line; returns what it printed as JSON. */
export function ternseed(...args) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'dist/cli/main.js'), ...args, '--json'],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    },
  );
  if (status !== 0) throw new Error(`ternseed ${args.join(' ')} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout);
}

/** Installs a peer's own packages when they are not there yet; returns its folder. */
export function peer(name) {
  const folder = join(root, 'bench/peers', name);
  if (!existsSync(join(folder, 'node_modules'))) {
    execFileSync('npm', ['ci', '--silent', '--ignore-scripts'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  return folder;
}

/** Mean and spread (largest minus smallest) of some numbers. */
export function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, spread: Math.max(...values) - Math.min(...values), values };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Writes results as JSON and as a page of tables, and prints the page. */
export function writeReport(name, results, page, folder = join(root, 'bench/results')) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(folder, `${name}.md`), `${page}\n`);
  process.stdout.write(`${page}\n`);
}

/** A markdown table. */
export function markdownTable(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** `12,345`. */
export const whole = (value) => Math.round(value).toLocaleString('en-US');
/** `97.12%`. */
export const share = (value) => `${(value * 100).toFixed(2)}%`;
