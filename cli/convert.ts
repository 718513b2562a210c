/** `ternseed convert FILE`: the same weights in the smallest form, or in one that is named, and what each would cost. */

import { openArtifact } from '../src/artifact/artifact.js';
import { type Form, formsOf, smallestOf } from '../src/artifact/compact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, expected, printable } from '../src/errors.js';
import { type BaseOptions, baseOf } from './bases.js';
import { Destination } from './destination.js';
import { readPathOrUrl } from './files.js';
import { count, printResult, shown, table } from './output.js';

const TARGETS = ['auto', 'log', 'pool', 'packed'];

export interface ConvertOptions extends BaseOptions {
  readonly to: string;
  readonly out: string;
  readonly force: boolean;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function convert(file: string, options: ConvertOptions): Promise<void> {
  const { to } = options;
  if (!TARGETS.includes(to)) throw expected('--to', TARGETS.join(', '), to);
  const out = Destination.open(options.out, options, [file, ...(options.base ?? [])]);
  const bytes = await readPathOrUrl(file);
  const artifact = openArtifact(bytes);
  const backend = await openBackend(options.backend, options.threads);
  try {
    const base = await baseOf(artifact, file, options, backend, out);
    const weights = await shown(`rebuilding ${printable(file)}`, 'steps', (watch) =>
      rebuildVerified(artifact, backend, base, watch),
    );
    const forms = formsOf(artifact, bytes, weights, base);
    const chosen = to === 'auto' ? smallestOf(forms) : forms.find(({ kind }) => kind === to);
    if (!chosen?.bytes)
      throw new ConfigError(`"--to" expected a form that it can have, got ${to}: ${chosen?.note}`);
    await out.write([chosen.bytes]);
    const { weightsHash } = artifact;
    printResult(
      options.json,
      { path: out.name, kind: chosen.kind, bytes: chosen.bytes.length, weightsHash, forms: costsOf(forms) },
      [
        `${printable(out.name)}: ${chosen.kind}, ${count(chosen.bytes.length)} bytes`,
        ...table([...costLines(forms), ['weights hash', weightsHash]]),
      ],
      out.remarks,
    );
  } finally {
    await backend.close();
  }
}

/** What each form would cost, for programs. */
export function costsOf(forms: readonly Form[]) {
  return forms.map(({ kind, bytes, note }) => ({ kind, bytes: bytes?.length ?? null, note }));
}

/** The same for people. */
export function costLines(forms: readonly Form[]): [label: string, value: string][] {
  return forms.map(({ kind, bytes, note }) => [
    kind,
    bytes ? `${count(bytes.length)} bytes, ${note}` : `not possible: ${note}`,
  ]);
}
