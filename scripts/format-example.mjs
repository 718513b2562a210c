// The worked example of docs/format.md: a tiny artifact dissected byte by byte. Writes it between the page's two
// marks; with --check it only says whether the page has it as this code makes it.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodePacked } from '../dist/src/artifact/artifact.js';
import { ByteReader } from '../dist/src/artifact/bytes.js';
import { decoderOf, PREAMBLE_BYTES, readSections } from '../dist/src/artifact/container.js';
import { decodeHeader } from '../dist/src/artifact/header.js';
import { TritCoder } from '../dist/src/artifact/integer-coder.js';
import { weightsHash } from '../dist/src/artifact/weights-hash.js';

const path = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs/format.md');
const [START, END] = ['<!-- example -->', '<!-- /example -->'];

const weights = Int8Array.of(1, 0, -1, 0, 0, 0, 1, -1);
const header = {
  ...{
    kind: 'packed',
    model: '4-2',
    centred: true,
    gain: 25,
    logitScale: 900,
    key: '00000000000004d2',
    cut: 0,
  },
  ...{ directions: [], config: {}, data: { name: 'none', hash: '' } },
};
const bytes = encodePacked(header, weights, { steps: 3, weightsHash: await weightsHash(weights) });

const page = readFileSync(path, 'utf8');
const [before, rest] = page.split(START);
const after = rest?.split(END)[1];
if (after === undefined) throw new Error(`expected ${START} and ${END} in docs/format.md`);
const whole = `${before}${START}\n${example()}\n${END}${after}`;
if (!process.argv.includes('--check')) writeFileSync(path, whole);
else if (whole !== page) {
  throw new Error('the example in docs/format.md is stale: node scripts/format-example.mjs writes it anew');
}

function example() {
  const rows = [];
  const row = (from, to, meaning) => rows.push([from, hex(bytes.subarray(from, to)), meaning]);
  row(0, 4, 'magic number, `TERN`');
  row(4, PREAMBLE_BYTES, `version ${bytes[4]}`);
  for (const { type, name, offset, start, end } of readSections(bytes)) {
    row(offset, offset + 1, `section \`${String.fromCharCode(type)}\`, ${name}`);
    row(offset + 1, start, `its payload has ${end - start} bytes`);
    if (name === 'header') {
      const reader = new ByteReader(bytes, name, start, end);
      row(start, start + 1, `the JSON has ${reader.integer('length')} bytes`);
      row(start + 1, end, 'the JSON, deflated with the dictionary');
    } else if (name === 'trits') {
      row(start, start + 1, `coding ${bytes[start]}, plain`);
      row(start + 1, end, 'range-coded trits, see below');
    } else {
      row(start, start + 1, `${bytes[start]} steps`);
      row(start + 1, end, 'SHA-256 of the weights, five trits a byte');
    }
    row(end, end + 4, 'CRC-32 of the section up to here');
  }
  const [first, trits] = readSections(bytes);
  const json = JSON.stringify(decodeHeader(new ByteReader(bytes, 'header', first.start, first.end)));
  return [
    `A packed artifact of the network 4-2 with the weights ${weights.join(', ')}: ${bytes.length} bytes. Its header is`,
    '',
    `\`\`\`json\n${json}\n\`\`\``,
    '',
    '| at | bytes | what they are |\n| --- | --- | --- |',
    ...rows.map(([at, text, meaning]) => `| ${at} | \`${text}\` | ${meaning} |`),
    '',
    'The trits, bit by bit. Range and code are those before the bit, p is the upper 16 bits of the probability of 1 with the lowest of them set, lower is ⌊range · p / 2¹⁶⌋; the bit is 1 where code < lower. The decoder starts with range `ffffffff` and the first four bytes as its code, zeros after the end.',
    '',
    '| trit | bit | model | range | code | p | lower | is |\n| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...trace(trits).map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n');
}

/** Every bit of the trits as a decoder meets it. */
function trace({ start, end }) {
  const decoder = decoderOf(new ByteReader(bytes, 'trits', start + 1, end));
  const coder = new TritCoder();
  const lines = [];
  let trit = 0;
  const decodeBit = decoder.decodeBit.bind(decoder);
  decoder.decodeBit = (model) => {
    const context = coder.nonzero.indexOf(model);
    const { range, code } = decoder;
    const p = (model.one >>> 12) | 1;
    const lower = model.split(range);
    const bit = decodeBit(model);
    const name = context < 0 ? 'negative' : `not zero, context ${context}`;
    const meaning = context < 0 ? ['+1', '−1'][bit] : ['0', 'not zero'][bit];
    lines.push([trit, bit, name, ...[range, code].map(word), p, word(lower), meaning]);
    return bit;
  };
  for (; trit < weights.length; trit++) {
    if (coder.decode(decoder) !== weights[trit]) throw new Error('the example reads other trits');
  }
  decoder.expectEnd();
  return lines;
}

function word(value) {
  return `\`${value.toString(16).padStart(8, '0')}\``;
}

/** Hex digits of bytes, eight in a group of a long list. */
function hex(part) {
  return Array.from(part, (byte) => byte.toString(16).padStart(2, '0'))
    .join(' ')
    .replace(/((?:\S\S ){7}\S\S) /g, '$1  ');
}
