/** Writes IDX files of any type, from the format's description alone. */

/** Bytes a value of each type, by its number in the file. */
const WRITERS: Record<number, [bytes: number, write: (view: DataView, at: number, value: number) => void]> = {
  0x08: [1, (view, at, value) => view.setUint8(at, value)],
  0x09: [1, (view, at, value) => view.setInt8(at, value)],
  0x0b: [2, (view, at, value) => view.setInt16(at, value)],
  0x0c: [4, (view, at, value) => view.setInt32(at, value)],
  0x0d: [4, (view, at, value) => view.setFloat32(at, value)],
  0x0e: [8, (view, at, value) => view.setFloat64(at, value)],
};

/**
 * The bytes of an IDX file.
 * @param type - 8: u8, 9: i8, 11: i16, 12: i32, 13: f32, 14: f64
 */
export function idx(shape: readonly number[], values: ArrayLike<number>, type = 0x08): Uint8Array {
  const [bytes, write] = WRITERS[type];
  const start = 4 + 4 * shape.length;
  const file = new Uint8Array(start + bytes * values.length);
  const view = new DataView(file.buffer);
  file.set([0, 0, type, shape.length]);
  shape.forEach((size, i) => view.setUint32(4 + 4 * i, size));
  for (let i = 0; i < values.length; i++) write(view, start + bytes * i, values[i]);
  return file;
}
