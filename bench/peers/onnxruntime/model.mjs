// ONNX models from nothing: the few messages of onnx.proto (field numbers from its specification) that a chain
// of nodes needs.

/** Element types of TensorProto. */
export const FLOAT = 1;
export const UINT8 = 2;
export const INT8 = 3;
export const INT32 = 6;

const varint = (value) => {
  const bytes = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    bytes.push(left > 127 ? (left % 128) | 128 : left);
    if (left <= 127) return Buffer.from(bytes);
  }
};
const integer = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
const bytes = (field, value) => {
  const content = Buffer.isBuffer(value) ? value : Buffer.from(value);
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
};
const message = (field, parts) => bytes(field, Buffer.concat(parts));

/** A weight: TensorProto with raw data. */
export function tensor(name, type, dimensions, values) {
  const raw = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return [...dimensions.map((size) => integer(1, size)), integer(2, type), bytes(8, name), bytes(9, raw)];
}

/** A node of the graph. */
export function node(type, inputs, output) {
  return [...inputs.map((name) => bytes(1, name)), bytes(2, output), bytes(4, type)];
}

/** An input or output: its type and shape. */
function value(name, type, dimensions) {
  const shape = dimensions.map((size) => message(1, [integer(1, size)]));
  return [bytes(1, name), message(2, [message(1, [integer(1, type), message(2, shape)])])];
}

/** A model whose input is `x` and whose output is `z`. */
export function model({ x, z, nodes, weights }) {
  const graph = [
    ...nodes.map((parts) => message(1, parts)),
    bytes(2, 'graph'),
    ...weights.map((parts) => message(5, parts)),
    message(11, value('x', ...x)),
    message(12, value('z', ...z)),
  ];
  return Buffer.concat([integer(1, 8), message(7, graph), message(8, [bytes(1, ''), integer(2, 17)])]);
}
