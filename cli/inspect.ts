/** `ternseed inspect FILE`: what an artifact says of itself, without rebuilding it. */

import { openArtifact } from '../src/artifact/artifact.js';
import { printable } from '../src/errors.js';
import { isTernary } from '../src/ternary/network.js';
import { readBytes } from './files.js';
import { count, printResult, table } from './output.js';

export async function inspect(file: string, { json }: { json: boolean }): Promise<void> {
  const artifact = openArtifact(await readBytes(file));
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
      data: data.name,
      dataHash: data.hash,
      weightsHash,
      sections,
      precision: network.precision,
      tensors: network.tensors,
    },
  };
  const bits = ((8 * bytes) / network.parameters).toFixed(3);
  printResult(json, result, [
    `${printable(file)}: ${kind}, version ${version}`,
    ...table([
      ['bytes', `${count(bytes)} (${bits} bits a weight)`],
      ['model', `${printable(model)}, ${count(network.parameters)} weights`],
      ...(isTernary(network) ? [] : ([['precision', network.precision.join(', ')]] as const)),
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
