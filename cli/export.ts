/** `ternseed export FILE --to …`: the same network, or the same history, in another form. */

import { type Artifact, encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { withoutBase } from '../src/artifact/header.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, expected, printable } from '../src/errors.js';
import { exportGguf, GGUF_FORMS, type GgufForm, requireGguf } from '../src/exchange/export-gguf.js';
import { exportJson } from '../src/exchange/export-json.js';
import {
  exportSafetensors,
  requireSafetensors,
  SAFETENSORS_FORMS,
  type SafetensorsForm,
} from '../src/exchange/export-safetensors.js';
import { type BaseOptions, rebuildOnBase } from './bases.js';
import { Destination } from './destination.js';
import { readPathOrUrl } from './files.js';
import { count, printResult, Progress, table } from './output.js';
import { PRODUCER } from './version.js';

/** What `--to` takes. */
export const EXPORT_FORMS = ['packed', 'safetensors', 'json', 'gguf'] as const;
type ExportForm = (typeof EXPORT_FORMS)[number];

export interface ExportOptions extends BaseOptions {
  readonly to: string;
  readonly out: string;
  readonly force: boolean;
  readonly dtype?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function exportArtifact(file: string, options: ExportOptions): Promise<void> {
  const { to } = options;
  if (!EXPORT_FORMS.includes(to as ExportForm)) throw expected('--to', EXPORT_FORMS.join(', '), to);
  const dtype = dtypeOf(to as ExportForm, options.dtype);
  const out = Destination.open(options.out, options, [file, ...(options.base ?? [])]);
  const artifact = openArtifact(await readPathOrUrl(file));
  // What has no such form is refused before work begins.
  if (to === 'gguf') requireGguf(artifact, dtype as GgufForm);
  if (to === 'safetensors') requireSafetensors(artifact);
  const backend = await openBackend(options.backend, options.threads);
  try {
    const weights = await rebuildOnBase(artifact, file, options, backend, out);
    const parts = contents(artifact, weights, to as ExportForm, dtype);
    const bytes = await out.write(parts);
    const { weightsHash, network } = artifact;
    const bits = ((8 * bytes) / network.parameters).toFixed(3);
    const what = dtype === '' ? to : `${to} ${dtype}`;
    const lines = [
      `${printable(out.name)}: ${what}, ${count(bytes)} bytes (${bits} bits a weight)`,
      ...table([['weights hash', weightsHash]]),
    ];
    printResult(options.json, { bytes, path: out.name, weightsHash }, lines, out.remarks);
  } finally {
    await backend.close();
  }
}

/** How numbers are written: of the forms that leave a choice, the first unless the user says otherwise. */
function dtypeOf(to: ExportForm, dtype: string | undefined): string {
  const choices = { safetensors: SAFETENSORS_FORMS, gguf: GGUF_FORMS, packed: [], json: [] }[
    to
  ] as readonly string[];
  if (dtype === undefined) return choices[0] ?? '';
  if (choices.length === 0)
    throw new ConfigError(`"--dtype" is for safetensors and gguf, not for ${to}: leave it out`);
  if (!choices.includes(dtype)) throw expected('--dtype', choices.join(' or '), dtype);
  return dtype;
}

/** The file's bytes, one part after another. Weights leave only when they are those that were trained. */
function contents(
  artifact: Artifact,
  weights: Int8Array,
  to: ExportForm,
  dtype: string,
): Iterable<Uint8Array> {
  switch (to) {
    case 'packed':
      return [encodePacked(withoutBase(artifact.header), weights, artifact)];
    case 'safetensors':
      return [
        exportSafetensors(artifact, weights, {
          form: dtype as SafetensorsForm,
          producer: PRODUCER,
        }),
      ];
    case 'gguf':
      return [exportGguf(artifact, weights, { form: dtype as GgufForm, producer: PRODUCER })];
    case 'json':
      return encoded(exportJson(artifact, PRODUCER), artifact);
    default:
      return to satisfies never;
  }
}

/** Texts as bytes; of a log, a text a step or nearly so. */
function* encoded(texts: Iterable<string>, { kind, steps }: Artifact): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  const progress = new Progress();
  const { onProgress } = progress.watch('writing', 'steps');
  let done = 0;
  for (const text of texts) {
    yield encoder.encode(text);
    done += 1;
    if (kind === 'log') onProgress?.(Math.min(done, steps), steps);
  }
  progress.clear();
}
