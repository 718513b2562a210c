/** `ternseed inspect FILE`: what an artifact says of itself, without rebuilding it. */

import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { detailsOf } from '../src/ternary/builders/details.js';
import type { Graph } from '../src/ternary/graph.js';
import type { Header } from '../src/artifact/header.js';
import { inputsOf } from '../src/artifact/inputs.js';
import { type DistantArtifact, openArtifactFrom } from '../src/artifact/open-from.js';
import { isUrl } from '../src/artifact/url-request.js';
import { urlSource } from '../src/artifact/url-source.js';
import { namesInWords } from '../src/data/examples.js';
import { printable } from '../src/errors.js';
import { readBytes } from './files.js';
import { count, printResult, table } from './output.js';

export async function inspect(file: string, { json }: { json: boolean }): Promise<void> {
  const { artifact, fetched } = await openForInspection(file);
  const { kind, version, bytes, header, network, steps, weightsHash } = artifact;
  const sections = artifact.sections.map(({ name, offset, bytes: length }) => ({
    name,
    offset,
    bytes: length,
  }));
  const { config, data, key, model } = header;
  const result = {
    ...{ kind, version, bytes, parameters: network.parameters, steps, seed: config.seed, key, model, config },
    ...{
      ...(header.base && { base: header.base }),
      data: data.name,
      dataHash: data.hash,
      weightsHash,
      sections,
      tensors: network.tensors,
    },
    ...(network.rows === 'examples' && { precision: precisionsOf(network) }),
    ...(header.inputs && { inputs: header.inputs }),
    ...(fetched && { fetched }),
  };
  const bits = ((8 * bytes) / network.parameters).toFixed(3);
  printResult(json, result, [
    `${printable(file)}: ${kind}, version ${version}`,
    ...table([
      ['bytes', `${count(bytes)} (${bits} bits a weight)`],
      ['model', `${printable(network.name)}, ${count(network.parameters)} weights`],
      ...detailsOf(network),
      ...(fetched
        ? ([
            ['fetched', `${count(fetched.bytes)} bytes in ${fetched.requests} requests${rangeNote(fetched)}`],
          ] as const)
        : []),
      ...(header.base
        ? ([['delta on', `${printable(header.base.name)}, weights hash ${header.base.hash}`]] as const)
        : []),
      ...inputLines(header),
      ['steps', count(steps)],
      ['seed', typeof config.seed === 'string' ? printable(config.seed) : 'none'],
      ['key', key],
      ['data', `${printable(data.name)} ${printable(data.hash)}`],
      ['weights hash', weightsHash],
      ...network.tensors.map(({ name, rows, columns }): [string, string] => [name, `${rows} × ${columns}`]),
      ...sections.map((section): [string, string] => [
        `section ${section.name}`,
        `${count(section.bytes)} bytes at ${section.offset}`,
      ]),
      ...Object.entries(config).map(([name, value]): [string, string] => [
        printable(name),
        printable(JSON.stringify(value)),
      ]),
    ]),
  ]);
}

/** How inputs are read, and what the classes are called, where it does not go without saying. */
function inputLines(header: Header): [label: string, value: string][] {
  if (header.inputs === undefined) return [];
  const { low, high, inverted, image, labels } = inputsOf(header);
  const { rows, columns, channels, planar } = image ?? {};
  const shape = planar ? [channels, rows, columns] : [rows, columns, ...(channels === 1 ? [] : [channels])];
  return [
    [
      'inputs',
      `${low}…${high}${inverted ? ', inverted' : ''}${image ? `, images of ${shape.join('×')}` : ''}`,
    ],
    ...(labels ? [['labels', namesInWords(labels)] as [string, string]] : []),
  ];
}

/** Of each layer. */
function precisionsOf({ description, tensors }: Graph): unknown {
  return description.precision ?? tensors.map(() => 'ternary');
}

interface Fetched {
  readonly bytes: number;
  readonly requests: number;
  /** Whether the server answers range requests. */
  readonly ranged: boolean;
}

/** A file whole, with all its checksums; a URL by its header, the heads of its sections and its end. */
async function openForInspection(
  file: string,
): Promise<{ artifact: Artifact | DistantArtifact; fetched: Fetched | null }> {
  if (!isUrl(file)) return { artifact: openArtifact(await readBytes(file)), fetched: null };
  const source = await urlSource(file);
  const artifact = await openArtifactFrom(source);
  const { fetchedBytes: bytes, requests, ranged } = source;
  return { artifact, fetched: { bytes, requests, ranged } };
}

function rangeNote({ ranged }: Fetched): string {
  return ranged ? '; the body and its checksums were not looked at' : ': the server ignores range requests';
}
