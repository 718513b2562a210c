/** `ternseed edit LOG` and `ternseed concat LOG…`: new logs of the steps of others. */

import { openArtifact } from '../src/artifact/artifact.js';
import { concatLogs, type Edit, editLog, EDITS } from '../src/artifact/edit.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, expected, printable } from '../src/errors.js';
import { type BaseOptions, baseOf } from './bases.js';
import { parseRange } from './config-options.js';
import { Destination } from './destination.js';
import { openLog } from './logs.js';
import { count, printResult, shown, table } from './output.js';

export interface EditOptions extends BaseOptions {
  readonly drop?: readonly string[];
  readonly negate?: readonly string[];
  readonly repeat?: readonly string[];
  readonly out: string;
  readonly force: boolean;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function edit(file: string, options: EditOptions): Promise<void> {
  const edits = EDITS.flatMap((name) => (options[name] ?? []).map((text) => parseEdit(name, text)));
  if (edits.length === 0)
    throw new ConfigError('"edit" expected "--drop", "--negate" or "--repeat" with a range of steps');
  await write([file], options, ([log], backend, base, watch) => editLog(log, edits, backend, base, watch));
}

export async function concat(files: readonly string[], options: EditOptions): Promise<void> {
  if (files.length < 2) throw new ConfigError('"concat" expected two logs or more');
  await write(files, options, concatLogs);
}

async function write(files: readonly string[], options: EditOptions, make: typeof concatLogs): Promise<void> {
  const out = Destination.open(options.out, options, [...files, ...(options.base ?? [])]);
  const logs = await Promise.all(files.map(openLog));
  const backend = await openBackend(options.backend, options.threads);
  try {
    const base = await baseOf(logs[0], files[0], options, backend, out);
    const bytes = await shown('writing and rebuilding', 'steps', (watch) => make(logs, backend, base, watch));
    await out.write([bytes]);
    const { steps, weightsHash } = openArtifact(bytes);
    const before = logs.reduce((sum, log) => sum + log.steps, 0);
    const lines = [
      `${printable(out.name)}: log, ${count(bytes.length)} bytes`,
      ...table([
        ['steps', `${count(steps)}, of ${count(before)}`],
        ['weights hash', weightsHash],
      ]),
    ];
    printResult(
      options.json,
      { path: out.name, bytes: bytes.length, steps, weightsHash },
      lines,
      out.remarks,
    );
  } finally {
    await backend.close();
  }
}

/** `10-20`, of a repetition also `10-20x3`. */
function parseEdit(edit: Edit['edit'], text: string): Edit {
  const [range, times, ...rest] = text.split('x');
  const { from, to } = parseRange(`--${edit}`, range);
  if (times === undefined) return { edit, from, to };
  if (edit !== 'repeat' || rest.length > 0 || !/^[1-9]\d{0,3}$/.test(times) || times === '1') {
    throw expected(
      `--${edit}`,
      edit === 'repeat' ? 'a range such as 10-20x3' : 'a range such as 10-20',
      text,
    );
  }
  return { edit, from, to, times: Number(times) };
}
