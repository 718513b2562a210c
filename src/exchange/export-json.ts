/**
 * The content of an artifact as JSON, for tools of any kind: header, tensors, and what its kind holds.
 * A step of a log is a line of its own and made when it is asked for, so a log of any length takes the
 * memory of one step. docs/exchange.md is the specification.
 */

import type { Artifact } from '../artifact/artifact.js';
import { isOfPerceptron } from '../artifact/perceptron.js';

/** Losses of a log are in 2⁻⁶ bits. */
const LOSS_UNITS = 64;
/** Values that are written at once, so that a large tensor is no large text. */
const VALUES_AT_ONCE = 16_384;

/**
 * The JSON text, in pieces that follow one another.
 * @param producer - who writes: a name and a version
 * @throws {ArtifactError} while it is read, when a log does not hold what it says
 * @example for (const text of exportJson(artifact, 'me 1.0')) process.stdout.write(text);
 */
export function* exportJson(artifact: Artifact, producer: string): Generator<string> {
  const { kind, version, header, network, steps, weightsHash } = artifact;
  const { tensors } = network;
  const made = isOfPerceptron(artifact)
    ? { widths: artifact.network.widths, precision: artifact.network.precision }
    : {};
  const about = {
    producer,
    kind,
    version,
    steps,
    weightsHash,
    header,
    network: { ...made, tensors },
  };
  yield `${JSON.stringify(about).slice(0, -1)},\n`;
  switch (kind) {
    case 'log': {
      yield '"log":[';
      let step = 0;
      for (const { nonzeros, loss, coefficients } of artifact.replaySteps()) {
        const kept = coefficients.reduce((sum, value) => sum + Math.abs(value), 0);
        const entry = { step: step + 1, lossBits: loss / LOSS_UNITS, nonzeros, kept };
        yield `${step === 0 ? '' : ','}\n${JSON.stringify(entry).slice(0, -1)},"coefficients":[${coefficients.join()}]}`;
        step += 1;
      }
      yield '\n]';
      break;
    }
    case 'pool': {
      const parts = tensors.map(({ name }, i) => ({ name, size: header.directions[i] }));
      yield* named('coefficients', parts, artifact.coefficients);
      break;
    }
    case 'packed': {
      const parts = tensors.map(({ name, rows, columns }) => ({ name, size: rows * columns }));
      // Of a delta they are what is added to the base's.
      yield* named(header.base ? 'differences' : 'weights', parts, artifact.weights);
      break;
    }
    default:
      return kind satisfies never;
  }
  yield '}\n';
}

/** An object of one list of integers a tensor. */
function* named(
  key: string,
  parts: readonly { readonly name: string; readonly size: number }[],
  values: Int16Array | Int8Array,
): Generator<string> {
  yield `"${key}":{`;
  let first = 0;
  for (const [i, { name, size }] of parts.entries()) {
    yield `${i === 0 ? '' : ','}\n${JSON.stringify(name)}:[`;
    for (let done = 0; done < size; done += VALUES_AT_ONCE) {
      const end = Math.min(size, done + VALUES_AT_ONCE);
      yield `${done === 0 ? '' : ','}${values.subarray(first + done, first + end).join()}`;
    }
    yield ']';
    first += size;
  }
  yield '\n}';
}
