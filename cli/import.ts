/** `ternseed import FILE --out …`: a network from safetensors, quantized where it is real, as a packed artifact. */

import { encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact, type PerceptronHeader } from '../src/artifact/perceptron.js';
import { headerOfInputs, inputsOf } from '../src/artifact/inputs.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { type Dataset, type Examples, loadData, type ReadingOptions } from '../src/data/dataset.js';
import { ConfigError, expected, InputError, printable } from '../src/errors.js';
import { type Calibration, calibrate } from '../src/exchange/calibrate.js';
import {
  assembleLayers,
  type ExportedModel,
  type ImportOptions as ReadOptions,
  importSafetensors,
} from '../src/exchange/import-safetensors.js';
import { type Layout, LAYOUTS } from '../src/exchange/layer-order.js';
import type { RealModel } from '../src/exchange/real-layers.js';
import {
  exactTernary,
  type IntegerMatrix,
  MATRIX_QUANTIZER_NAMES,
  quantizeMatrix,
} from '../src/quantize/matrix.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { parseNumber } from './config-options.js';
import { noteName, readingFor, readingOf, withNotes } from './data.js';
import { Destination } from './destination.js';
import { readPathOrUrl } from './files.js';
import { count, percent, printResult, shown, table } from './output.js';

export interface ImportOptions {
  readonly out: string;
  readonly force: boolean;
  readonly quantizer?: string;
  readonly gain?: string;
  readonly logitScale?: string;
  readonly centred?: string;
  readonly layout?: string;
  readonly layers?: string;
  readonly data?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

/** What a layer becomes unless the user says otherwise: trits where it is ternary already, else this. */
const QUANTIZER = 'int8-row';

/** What only files of real weights leave open, and what it is called on the command line. */
const REAL_OPTIONS = {
  gain: '--gain',
  logitScale: '--logit-scale',
  centred: '--centred',
  layout: '--layout',
  layers: '--layers',
} as const;

/** An accuracy is near chance that is no further above the most frequent class's share than this part of the rest. */
const NEAR_CHANCE = 0.1;

export async function importModel(file: string, options: ImportOptions): Promise<void> {
  const settings = readSettings(options);
  const out = Destination.open(options.out, options, [file]);
  const bytesOfFile = await readPathOrUrl(file);
  const { data: source } = options;
  const raw = source === undefined ? null : await loadData(source, { fromZero: true });
  const model = await readModel(bytesOfFile, {
    anew: options.quantizer !== undefined,
    ...settings.reading,
    ...(raw && { fits: { inputs: raw.train.width, classes: raw.train.classes } }),
  });
  const given = (Object.keys(REAL_OPTIONS) as (keyof typeof REAL_OPTIONS)[]).find(
    (name) => options[name] !== undefined,
  );
  if (model.kind === 'exported' && given !== undefined) {
    throw new ConfigError(
      `"${REAL_OPTIONS[given]}" is said by "${printable(file)}", an export of ternseed: leave it out`,
    );
  }
  if (source !== undefined) noteName(source);
  const reading = describedReading(model);
  const data = source !== undefined && reading ? await loadData(source, reading) : raw;
  if (data) withNotes(data);
  const backend = await openBackend(options.backend, options.threads);
  try {
    const made =
      model.kind === 'exported'
        ? { ...model, calibration: null, reading: null, notes: [] }
        : await quantized(model, settings, data, backend);
    const { header, weights, steps, calibration, reading } = made;
    const bytes = encodePacked(header, weights, { steps, weightsHash: made.weightsHash });
    const { network } = perceptronArtifact(openArtifact(bytes)); // what is written is read first
    const score = data && (await scoreOf());
    const notes = [...made.notes, ...(score && reading ? remarksOn(score.accuracy, data.test) : [])];
    await out.write([bytes]);
    const { gain, logitScale, centred } = header;
    printResult(
      options.json,
      {
        ...{ path: out.name, bytes: bytes.length, kind: 'packed', model: header.model },
        ...{ precision: network.precision, centred, gain, logitScale, weightsHash: made.weightsHash },
        ...(reading && { reading, notes }),
        ...(calibration && { calibration }),
        ...(score && { ...score, split: 'test' }),
      },
      [
        `${printable(out.name)}: packed, ${count(bytes.length)} bytes (${((8 * bytes.length) / network.parameters).toFixed(3)} bits a weight)`,
        ...table([
          ['model', `${header.model}, ${[...new Set(network.precision)].join(', ')}`],
          ...(reading
            ? ([
                ['layers', `${reading.layers.map(printable).join(', ')} (by ${reading.layersBy})`],
                ['layout', `${reading.layout} (by ${reading.layoutBy})`],
                ['quantizers', [...new Set(reading.quantizers)].join(', ')],
              ] as const)
            : []),
          ['activations', `gain ${gain}, ${centred ? 'centred' : 'not centred'}, logit scale ${logitScale}`],
          ...(calibration
            ? ([
                ['chosen', `of ${calibration.trials} pairs, loss ${calibration.loss.toFixed(4)} nats`],
              ] as const)
            : []),
          ...(score
            ? ([['test accuracy', `${percent(score.accuracy)} of ${count(score.examples)}`]] as const)
            : []),
          ['weights hash', made.weightsHash],
          ...notes.map((note) => ['note', note] as const),
        ]),
      ],
      out.remarks,
    );

    async function scoreOf() {
      const placed = await backend.place(network, { batch: 1000 });
      await placed.writeWeights(weights);
      const examples = fitting((data as Dataset).test, network.widths, options.data as string);
      return shown('evaluating', 'examples', (watch) => evaluateExamples(placed, examples, watch));
    }
  } finally {
    await backend.close();
  }
}

/** An export says how it reads its inputs, also where its weights are taken as numbers. */
function describedReading(model: ExportedModel | RealModel): ReadingOptions | null {
  if (model.kind === 'exported') return readingOf(model.header);
  const { widths, inputs } = model;
  return inputs ? readingFor(widths[0], widths.at(-1) as number, inputs) : null;
}

/** Reads the file; a fault that a setting mends names the option. */
async function readModel(bytes: Uint8Array, options: ReadOptions) {
  try {
    return await importSafetensors(bytes, options);
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ConfigError)) throw cause;
    const message = cause.message.replace(/"(layout|layers|quantizer)"/g, '"--$1"');
    throw cause instanceof InputError
      ? new InputError(message, { cause })
      : new ConfigError(message, { cause });
  }
}

/** What may be the matter with a model that is hardly better than a guess. */
function remarksOn(accuracy: number, { labels, classes }: Examples): string[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label] += 1;
  const chance = Math.max(...counts) / labels.length;
  if (accuracy > chance + NEAR_CHANCE * (1 - chance)) return [];
  return [
    `the test accuracy is near that of a guess, ${percent(chance)}: the file may be of other data, its inputs may have ` +
      'been normalized in a way that no file says, or its layers may be in another order ("--layers") or layout ("--layout")',
  ];
}

interface Settings {
  readonly reading: { readonly layout?: Layout; readonly layers?: readonly string[] };
  readonly quantizer: string | null;
  readonly gain?: number;
  readonly logitScale?: number;
  readonly centred: boolean | null;
}

function readSettings(options: ImportOptions): Settings {
  const { quantizer, gain, logitScale, centred, layout, layers } = options;
  if (quantizer !== undefined && !(MATRIX_QUANTIZER_NAMES as string[]).includes(quantizer)) {
    throw expected('--quantizer', MATRIX_QUANTIZER_NAMES.join(', '), quantizer);
  }
  if (centred !== undefined && centred !== 'true' && centred !== 'false')
    throw expected('--centred', 'true or false', centred);
  if (layout !== undefined && !(LAYOUTS as readonly string[]).includes(layout)) {
    throw expected('--layout', LAYOUTS.join(' or '), layout);
  }
  return {
    reading: {
      ...(layout !== undefined && { layout: layout as Layout }),
      ...(layers !== undefined && { layers: layers.split(',').map((name) => name.trim()) }),
    },
    quantizer: quantizer ?? null,
    ...(gain !== undefined && { gain: parseNumber('--gain', gain) }),
    ...(logitScale !== undefined && { logitScale: parseNumber('--logit-scale', logitScale) }),
    centred: centred === undefined ? null : centred === 'true',
  };
}

/** A real model as an integer network. */
async function quantized(model: RealModel, settings: Settings, data: Dataset | null, backend: Backend) {
  const { quantizer } = settings;
  const centred = settings.centred ?? model.centred ?? false;
  const layers = model.layers.map((layer) => {
    const trits = quantizer === null ? exactTernary(layer) : null;
    return trits
      ? { ...trits, by: 'trits as they are' }
      : { ...quantizeMatrix(quantizer ?? QUANTIZER, layer), by: quantizer ?? QUANTIZER };
  });
  const notes = [...model.notes, ...layers.flatMap((layer, i) => rowsLost(model.layers[i], layer))];
  const { precision, weights } = assembleLayers(layers);
  const { gain, logitScale, calibration } = await activations();
  const options = { centred, gain, logitScale, precision };
  const network = checked(() => networkOf(model.widths, options));
  const inputs = headerOfInputs(data?.inputs ?? inputsOf({ inputs: model.inputs ?? {} }));
  const header: PerceptronHeader = {
    ...{ kind: 'packed', model: model.widths.join('-'), ...options },
    ...{ key: '0'.repeat(16), cut: 0, directions: [] },
    config: {
      method: 'import',
      quantizer: quantizer ?? `trits as they are, else ${QUANTIZER}`,
      layout: model.reading.layout,
      tensors: model.layers.map(({ name }) => printable(name)), // which also bounds their length
    },
    data: { name: 'unknown', hash: 'unknown' },
    ...(inputs && { inputs }),
  };
  const reading = { ...model.reading, quantizers: layers.map(({ by }) => by) };
  const hash = await weightsHash(weights, network.tensors);
  return { header, weights, steps: 0, weightsHash: hash, calibration, reading, notes };

  async function activations(): Promise<{
    gain: number;
    logitScale: number;
    calibration: Calibration | null;
  }> {
    const { gain: givenGain, logitScale: givenScale } = settings;
    if (givenGain !== undefined && givenScale !== undefined) {
      return { gain: givenGain, logitScale: givenScale, calibration: null };
    }
    if (!data) {
      const missing = givenGain === undefined ? '--gain' : '--logit-scale';
      throw new ConfigError(`"${missing}" expected a number, got none: give it, or "--data" to choose it on`);
    }
    const fixed = {
      ...{ centred, precision },
      ...(givenGain !== undefined && { gain: givenGain }),
      ...(givenScale !== undefined && { logitScale: givenScale }),
    };
    checked(() => networkOf(model.widths, { gain: 127, logitScale: 1, ...fixed }));
    const examples = fitting(data.train, model.widths, data.name);
    const calibration = await shown('choosing gain and scale', 'trials', (watch) =>
      calibrate(model.widths, weights, fixed, examples, backend, watch),
    );
    return { ...calibration, calibration };
  }
}

/** Rows of a layer that its largest ones leave nothing of. */
function rowsLost(
  { name, rows, columns, weights }: RealModel['layers'][number],
  made: IntegerMatrix,
): string[] {
  const isAny = (values: Float64Array | Int8Array, row: number) =>
    values.subarray(row * columns, (row + 1) * columns).some((value: number) => value !== 0);
  let lost = 0;
  for (let row = 0; row < rows; row++) if (isAny(weights, row) && !isAny(made.weights, row)) lost += 1;
  return lost === 0
    ? []
    : [`${lost} of ${rows} rows of ${printable(name)} are too small beside the largest and became 0`];
}

/** What the arithmetic refuses is the user's setting: the file's shapes have been checked. */
function checked<Value>(make: () => Value): Value {
  try {
    return make();
  } catch (cause) {
    if (cause instanceof RangeError) throw new ConfigError(cause.message, { cause });
    throw cause;
  }
}

function fitting(examples: Examples, widths: readonly number[], name: string): Examples {
  const [inputs, classes] = [widths[0], widths[widths.length - 1]];
  if (examples.width === inputs && examples.classes <= classes) return examples;
  throw new InputError(
    `"${printable(name)}" expected ${inputs} inputs and at most ${classes} classes, as the model has, ` +
      `got ${examples.width} and ${examples.classes}`,
  );
}
