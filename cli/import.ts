/** `ternseed import FILE --out …`: a network from safetensors, quantized where it is real, as a packed artifact. */

import { encodePacked, openArtifact, perceptronArtifact } from '../src/artifact/artifact.js';
import type { PerceptronHeader } from '../src/artifact/header.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { type Dataset, type Examples, loadData } from '../src/data/dataset.js';
import { ConfigError, expected, InputError, printable } from '../src/errors.js';
import { type Calibration, calibrate } from '../src/exchange/calibrate.js';
import { assembleLayers, importSafetensors, type RealModel } from '../src/exchange/import-safetensors.js';
import { exactTernary, MATRIX_QUANTIZER_NAMES, quantizeMatrix } from '../src/quantize/matrix.js';
import { networkOf } from '../src/ternary/network.js';
import { parseNumber } from './config-options.js';
import { Destination } from './destination.js';
import { readPathOrUrl } from './files.js';
import { count, percent, printResult, table } from './output.js';

export interface ImportOptions {
  readonly out: string;
  readonly force: boolean;
  readonly quantizer?: string;
  readonly gain?: string;
  readonly logitScale?: string;
  readonly centred?: string;
  readonly data?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

/** What a layer becomes unless the user says otherwise: trits where it is ternary already, else this. */
const QUANTIZER = 'int8-row';

export async function importModel(file: string, options: ImportOptions): Promise<void> {
  const settings = readSettings(options);
  const out = Destination.open(options.out, options, [file]);
  const model = await importSafetensors(await readPathOrUrl(file), { anew: options.quantizer !== undefined });
  const given = ['gain', 'logitScale', 'centred'].find(
    (name) => options[name as keyof ImportOptions] !== undefined,
  );
  if (model.kind === 'exported' && given !== undefined) {
    throw new ConfigError(
      `"--${given === 'logitScale' ? 'logit-scale' : given}" is said by "${printable(file)}", an export of ternseed: leave it away`,
    );
  }
  const data = options.data === undefined ? null : await loadData(options.data);
  const backend = await openBackend(options.backend, options.threads);
  try {
    const made =
      model.kind === 'exported'
        ? { ...model, calibration: null }
        : await quantized(model, settings, data, backend);
    const { header, weights, steps, calibration } = made;
    const bytes = encodePacked(header, weights, { steps, weightsHash: made.weightsHash });
    const { network } = perceptronArtifact(openArtifact(bytes)); // what is written is read first
    const score = data && (await scoreOf());
    await out.write([bytes]);
    const { gain, logitScale, centred } = header;
    printResult(
      options.json,
      {
        ...{ path: out.name, bytes: bytes.length, kind: 'packed', model: header.model },
        ...{ precision: network.precision, centred, gain, logitScale, weightsHash: made.weightsHash },
        ...(calibration && { calibration }),
        ...(score && { ...score, split: 'test' }),
      },
      [
        `${printable(out.name)}: packed, ${count(bytes.length)} bytes (${((8 * bytes.length) / network.parameters).toFixed(3)} bits a weight)`,
        ...table([
          ['model', `${header.model}, ${[...new Set(network.precision)].join(', ')}`],
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
        ]),
      ],
      out.remarks,
    );

    async function scoreOf() {
      const placed = await backend.place(network, { batch: 1000 });
      await placed.writeWeights(weights);
      return evaluateExamples(
        placed,
        fitting((data as Dataset).test, network.widths, options.data as string),
      );
    }
  } finally {
    await backend.close();
  }
}

interface Settings {
  readonly quantizer: string | null;
  readonly gain?: number;
  readonly logitScale?: number;
  readonly centred: boolean;
}

function readSettings({ quantizer, gain, logitScale, centred = 'false' }: ImportOptions): Settings {
  if (quantizer !== undefined && !(MATRIX_QUANTIZER_NAMES as string[]).includes(quantizer)) {
    throw expected('--quantizer', MATRIX_QUANTIZER_NAMES.join(', '), quantizer);
  }
  if (centred !== 'true' && centred !== 'false') throw expected('--centred', 'true or false', centred);
  return {
    quantizer: quantizer ?? null,
    ...(gain !== undefined && { gain: parseNumber('--gain', gain) }),
    ...(logitScale !== undefined && { logitScale: parseNumber('--logit-scale', logitScale) }),
    centred: centred === 'true',
  };
}

/** A real model as an integer network. */
async function quantized(model: RealModel, settings: Settings, data: Dataset | null, backend: Backend) {
  const { quantizer, centred } = settings;
  const layers = model.layers.map(
    (layer) =>
      (quantizer === null ? exactTernary(layer) : null) ?? quantizeMatrix(quantizer ?? QUANTIZER, layer),
  );
  const { precision, weights } = assembleLayers(layers);
  const { gain, logitScale, calibration } = await activations();
  const options = { centred, gain, logitScale, precision };
  const network = checked(() => networkOf(model.widths, options));
  const header: PerceptronHeader = {
    ...{ kind: 'packed', model: model.widths.join('-'), ...options },
    ...{ key: '0'.repeat(16), cut: 0, directions: [] },
    config: {
      method: 'import',
      quantizer: quantizer ?? `trits as they are, else ${QUANTIZER}`,
      tensors: model.layers.map(({ name }) => printable(name)), // which also bounds their length
    },
    data: { name: 'unknown', hash: 'unknown' },
  };
  return { header, weights, steps: 0, weightsHash: await weightsHash(weights, network.tensors), calibration };

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
      throw new ConfigError(`"${missing}" expected a number, got none: say it, or "--data" to choose it on`);
    }
    const fixed = {
      ...{ centred, precision },
      ...(givenGain !== undefined && { gain: givenGain }),
      ...(givenScale !== undefined && { logitScale: givenScale }),
    };
    checked(() => networkOf(model.widths, { gain: 127, logitScale: 1, ...fixed }));
    const examples = fitting(data.train, model.widths, data.name);
    const calibration = await calibrate(model.widths, weights, fixed, examples, backend);
    return { ...calibration, calibration };
  }
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
