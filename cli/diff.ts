/** `ternseed diff A B`: in how many weights two networks of one shape differ. */

import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { rebuild } from '../src/artifact/rebuild.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, InputError } from '../src/errors.js';
import { detailsOf } from '../src/ternary/builders/details.js';
import type { Tensor } from '../src/ternary/model.js';
import { type BaseOptions, baseOf, rebuildOnBase } from './bases.js';
import { parseRange } from './config-options.js';
import { readPathOrUrl, requireOneStdin } from './files.js';
import { openLog, rebuildByIndex } from './logs.js';
import { count, percent, printResult, shown, table } from './output.js';

export interface DiffOptions extends BaseOptions {
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly steps?: string;
  readonly index?: boolean;
  readonly json: boolean;
}

export async function diff(a: string, b: string | undefined, options: DiffOptions): Promise<void> {
  requireOneStdin([a, ...(b === undefined ? [] : [b]), ...(options.base ?? [])]);
  if (options.steps !== undefined) {
    if (b !== undefined) throw new ConfigError('"--steps" compares two steps of one log: name one file');
    return diffSteps(a, options);
  }
  if (b === undefined) throw new ConfigError('"diff" expected two artifacts, or one log and "--steps A-B"');
  const [first, second] = [openArtifact(await readPathOrUrl(a)), openArtifact(await readPathOrUrl(b))];
  if (shapeOf(first) !== shapeOf(second)) {
    throw new InputError(`expected two models of one shape, got ${shapeOf(first)} and ${shapeOf(second)}`);
  }
  const backend = await openBackend(options.backend, options.threads);
  try {
    const [left, right] = [
      await rebuildOnBase(first, a, options, backend),
      await rebuildOnBase(second, b, options, backend),
    ];
    print(options, `${a} and ${b}`, first.network.tensors, left, right);
  } finally {
    await backend.close();
  }
}

/** Between two steps of one log. */
async function diffSteps(file: string, options: DiffOptions): Promise<void> {
  const { from, to } = parseRange('--steps', options.steps as string);
  const log = await openLog(file);
  const backend = await openBackend(options.backend, options.threads);
  try {
    const base = await baseOf(log, file, options, backend);
    const weightsAt = (step: number) =>
      options.index
        ? rebuildByIndex(log, file, step, base)
        : shown(`rebuilding step ${count(step)}`, 'steps', (watch) =>
            rebuild(log, backend, step, base, watch),
          );
    const [left, right] = [await weightsAt(from), await weightsAt(to)];
    print(options, `steps ${count(from)} and ${count(to)} of ${file}`, log.network.tensors, left, right);
  } finally {
    await backend.close();
  }
}

function print(
  { json }: DiffOptions,
  what: string,
  tensors: readonly Tensor[],
  left: Int8Array,
  right: Int8Array,
): void {
  const byTensor = tensors.map(({ name, rows, columns, offset }) => {
    const size = rows * columns;
    const mine = left.subarray(offset, offset + size);
    return {
      name,
      weights: size,
      changed: mine.filter((weight, i) => weight !== right[offset + i]).length,
    };
  });
  const changedTrits = byTensor.reduce((sum, { changed }) => sum + changed, 0);
  const share = (changed: number, weights: number) =>
    `${count(changed)} of ${count(weights)} (${percent(changed / weights)})`;
  printResult(json, { changedTrits, parameters: left.length, byTensor }, [
    `${what} differ in ${share(changedTrits, left.length)} weights`,
    ...table(byTensor.map(({ name, changed, weights }) => [name, share(changed, weights)] as const)),
  ]);
}

/** What two artifacts must have in common to be compared, as people read it. */
function shapeOf(artifact: Artifact): string {
  const { network } = artifact;
  return [network.name, ...detailsOf(network).map(([label, value]) => `${label} ${value}`)].join(', ');
}
