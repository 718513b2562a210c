// How right files are made wrong: bytes as accidents and liars change them, JSON of other values, sections
// that lie with right checksums, safetensors whose header lies about its data.

import { encodeSection } from '../../dist/src/artifact/container.js';
import { concat, headerPayload, leb128, safetensors, text } from './bytes.mjs';
import { INTEGERS, LARGE } from './choices.mjs';
import { samples } from './samples.mjs';

const pieces = samples.flatMap(({ parts }) => parts);

/** One to four changes of bytes. `damage`: nothing was added from right files, so it is an accident at most. */
export function mutateBytes(choices, bytes) {
  let out = bytes.slice();
  let damage = true;
  for (let left = 1 + choices.to(4); left > 0; left--) {
    const at = choices.to(out.length + 1);
    switch (choices.to(9)) {
      case 0:
      case 1:
        if (at < out.length) out[at] ^= 1 << choices.to(8);
        break;
      case 2:
        if (at < out.length) out[at] = choices.of([0, 1, 127, 128, 255, choices.to(256)]);
        break;
      case 3:
        out = out.slice(0, at);
        break;
      case 4:
        out = concat(out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + choices.to(8))));
        break;
      case 5:
        out = concat(out.subarray(0, at), leb128(choices.of([...INTEGERS, ...LARGE])), out.subarray(at));
        break;
      case 6: {
        const end = Math.min(out.length, at + 1 + choices.to(64));
        out = concat(out.subarray(0, end), out.subarray(at));
        damage = false;
        break;
      }
      case 7: {
        const other = choices.of(samples).bytes;
        out = concat(out.subarray(0, at), other.subarray(choices.to(other.length)));
        damage = false;
        break;
      }
      default: {
        const words = Uint32Array.of(choices.of([0, choices.word(), 2 ** 32 - 1]));
        if (at + 4 <= out.length) out.set(new Uint8Array(words.buffer), at);
      }
    }
  }
  return { bytes: out, damage };
}

const STRAY = ['', 'log', 'pool', 'packed', 'checkpoint', 'f'.repeat(16), '\u202e\u0007', '__proto__'];

/** A value of JSON that is not what it was. */
export function otherValue(choices, value, depth = 0) {
  if (depth < 3 && value !== null && typeof value === 'object' && choices.to(4) > 0) {
    const entries = Array.isArray(value) ? [...value] : new Map(Object.entries(value));
    const keys = [...entries.keys(), choices.of(['x', '__proto__', 'constructor', '__metadata__'])];
    const key = Array.isArray(value) ? choices.to(value.length + 1) : choices.of(keys);
    if (Array.isArray(value)) {
      if (choices.once(8)) entries.splice(key, 1);
      else entries[key] = otherValue(choices, value[key], depth + 1);
      return entries;
    }
    if (choices.once(8)) entries.delete(key);
    else entries.set(key, otherValue(choices, entries.get(key), depth + 1));
    return Object.fromEntries(entries);
  }
  const number = () => choices.of([...INTEGERS, ...LARGE, -1, 0.5, 1e300, -0, 2 ** 53, choices.to(100)]);
  if (typeof value === 'number' && choices.to(4) > 0) return number();
  if (typeof value === 'string' && choices.to(4) > 0) {
    const width = () => choices.of([1, 2, 4, 10, 49, 64, 2048, 65_535, choices.to(100)]);
    const model = Array.from({ length: 1 + choices.to(5) }, width).join('-');
    const dtype = choices.of(['F32', 'F64', 'F16', 'BF16', 'I8', 'U8', 'I64', 'BOOL']);
    return choices.of([model, model, dtype, String(number()), `${value}0`, choices.of(STRAY)]);
  }
  const deep = () => JSON.parse(`${'['.repeat(20)}${']'.repeat(20)}`);
  return choices.of([null, true, false, [], {}, '', 'x', [[1]], deep(), number(), [number(), number()]]);
}

/** Sections that lie with right checksums. */
export function mutateSections(choices, { parts, header, version }) {
  let out = [...parts];
  for (let left = 1 + choices.to(3); left > 0; left--) {
    const at = choices.to(out.length);
    const one = out[at];
    switch (out.length === 0 ? 0 : choices.to(12)) {
      case 0:
        out.splice(at, 0, choices.of(pieces));
        break;
      case 1:
        out.splice(at, 1);
        break;
      case 2:
        out.splice(at, 0, one);
        break;
      case 3: {
        const other = choices.to(out.length);
        [out[at], out[other]] = [out[other], one];
        break;
      }
      case 4:
        out[at] = choices.of(pieces);
        break;
      case 5:
        out[at] = { ...one, type: choices.of([...text('HLCTES'), choices.to(256)]) };
        break;
      case 6: // integers at the start of a body
        out[at] = { ...one, payload: lyingIntegers(choices, one.payload) };
        break;
      case 7: // another network, with a header that is right by itself
        out[0] = {
          type: 0x48,
          payload: headerPayload(text(JSON.stringify({ ...header, ...otherSeed(choices) }))),
        };
        break;
      case 8: {
        let lie = otherValue(choices, header);
        if (choices.once(3)) lie = otherValue(choices, lie);
        out[0] = { type: 0x48, payload: headerPayload(text(JSON.stringify(lie))) };
        break;
      }
      default:
        out[at] = { ...one, payload: mutateBytes(choices, one.payload).bytes };
    }
  }
  const mark = choices.once(16) ? choices.of([1, 2, 3, 0]) : version;
  return concat(
    text('TERN'),
    Uint8Array.of(mark),
    ...out.map(({ type, payload }) => encodeSection(type, payload)),
  );
}

function otherSeed(choices) {
  const hex = () => choices.word().toString(16).padStart(8, '0');
  return choices.of([{ key: hex() + hex() }, { cut: choices.to(43) }, { gain: 1 + choices.to(127) }]);
}

function lyingIntegers(choices, payload) {
  const skip = choices.to(4);
  let at = 0;
  for (let i = 0; i < skip && at < payload.length; i++) at += integerBytes(payload, at);
  const lie = choices.of([...INTEGERS, ...LARGE, choices.to(64)]);
  return concat(payload.subarray(0, at), leb128(lie), payload.subarray(at + integerBytes(payload, at)));
}

function integerBytes(payload, at) {
  let length = 1;
  while (payload[at + length - 1] > 127) length++;
  return length;
}

/** A file of the container, damaged or lying. */
export function mutateContainer(choices, origin) {
  if (choices.once(4)) return mutateBytes(choices, origin.bytes);
  return { bytes: mutateSections(choices, origin), damage: false };
}

/** A safetensors file: damaged, or with a header that lies, half of those with offsets that fit its shapes. */
export function mutateModel(choices, { bytes, header, data }) {
  switch (choices.to(4)) {
    case 0:
      return mutateBytes(choices, bytes).bytes;
    case 1: {
      const changed = data.slice(); // numbers alone: not finite, not trits, beyond their range
      for (let left = 1 + choices.to(4); left > 0; left--) {
        const words = Uint32Array.of(choices.of([0, 0x7f800000, 0x7fc00000, 0xffffffff, choices.word()]));
        const at = choices.to(Math.max(1, changed.length - 3));
        if (at + 4 <= changed.length) changed.set(new Uint8Array(words.buffer), at);
      }
      return safetensors(header, changed);
    }
    default: {
      let lie = otherValue(choices, header);
      if (choices.once(3)) lie = otherValue(choices, lie);
      return choices.once(2) ? safetensors(lie, data) : safetensors(...fitted(choices, lie, data));
    }
  }
}

const SIZES = { F64: 8, F32: 4, F16: 2, BF16: 2, I8: 1, U8: 1, I64: 8, BOOL: 1 };
const DATA_MAX = 65_536;

/** The same header with offsets that its shapes ask for, and as much data, so that the lie goes on. */
function fitted(choices, lie, data) {
  if (typeof lie !== 'object' || lie === null) return [lie, data];
  let end = 0;
  const entries = Object.entries(lie).map(([name, entry]) => {
    const { dtype, shape } = entry ?? {};
    if (name === '__metadata__' || !Array.isArray(shape)) return [name, entry];
    const begin = end;
    const size = shape.reduce((product, one) => product * one, SIZES[dtype] ?? 1);
    if (!(size >= 0 && end + size <= DATA_MAX)) return [name, entry];
    end += size;
    return [name, { ...entry, data_offsets: [begin, end] }];
  });
  const more = Math.max(0, Math.ceil(end) - data.length);
  const filled = concat(data, new Uint8Array(more).fill(choices.to(256)));
  return [Object.fromEntries(entries), filled.subarray(0, Math.ceil(end))];
}
