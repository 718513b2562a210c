/** Runs the built command line as a child process. */

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** How a run ended, and all that it printed. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves when stderr has shown the text, or the run has ended without it. */
  shown(text: string): Promise<void>;
}

/** Starts a run, of this Node or by another command, with its output in pipes. */
export function startCli(
  args: readonly string[],
  options: SpawnOptions = {},
  command: readonly string[] = [process.execPath],
): Running {
  const child = spawn(command[0], [...command.slice(1), MAIN, ...args], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      printed[stream] += text;
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => resolve({ code, signal, ...printed }));
  });
  const shown = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (printed.stderr.includes(text)) resolve();
      };
      child.stderr?.on('data', look);
      child.on('close', () => resolve());
      look();
    });
  return { child, ended, shown };
}

/** Runs to the end. */
export function cli(
  args: readonly string[],
  options?: SpawnOptions,
  command?: readonly string[],
): Promise<Ended> {
  return startCli(args, options, command).ended;
}

/** Runs with `--json` and expects success; returns the one object on stdout. */
export async function cliJson(
  args: readonly string[],
  options?: SpawnOptions,
): Promise<Record<string, unknown>> {
  const ended = await cli([...args, '--json'], options);
  expect(ended.code, ended.stderr).toBe(0);
  return onlyObject(ended.stdout);
}

/** Exactly one line, and on it one JSON object. */
export function onlyObject(stdout: string): Record<string, unknown> {
  expect(stdout).toMatch(/^\{.*\}\n$/);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/**
 * Waits until a run has told so many steps to its `--metrics` file, or has ended: a moment of its work, whatever the
 * clock says.
 */
export async function stepped({ child }: Running, metrics: string, steps: number): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const told = await readFile(metrics, 'utf8').catch(() => '');
    if (told.split('\n').length > steps) return;
    await sleep(5);
  }
}
