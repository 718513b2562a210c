/** Safetensors files for tests, written without the library: any header, lying or not. */

import { concat } from './sections.js';

/**
 * A file of a header and data.
 * @param length - that the file declares, if it lies
 * @param latin1 - writes the header's characters as bytes, not as UTF-8
 */
export function rawSafetensors(
  header: unknown,
  data: Uint8Array,
  length?: bigint,
  latin1 = false,
): Uint8Array {
  const json = typeof header === 'string' ? header : JSON.stringify(header);
  const bytes = new Uint8Array(Buffer.from(json, latin1 ? 'latin1' : 'utf8'));
  const word = new Uint8Array(8);
  new DataView(word.buffer).setBigUint64(0, length ?? BigInt(bytes.length), true);
  return concat(word, bytes, data);
}

/** Matrices as PyTorch's `nn.Sequential` names and saves them: `0.weight`, `2.weight`, … in float32. */
export function torchLike(
  matrices: readonly { rows: number; columns: number; weights: ArrayLike<number> }[],
  name = (layer: number) => `${2 * layer}.weight`,
): Uint8Array {
  let end = 0;
  const entries = matrices.map(({ rows, columns }, layer) => {
    const begin = end;
    end += 4 * rows * columns;
    return [name(layer), { dtype: 'F32', shape: [rows, columns], data_offsets: [begin, end] }];
  });
  const data = concat(...matrices.map(({ weights }) => new Uint8Array(Float32Array.from(weights).buffer)));
  return rawSafetensors({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) }, data);
}

/** A small network of real weights. */
export function real(widths: readonly number[]): Uint8Array {
  return torchLike(
    widths.slice(1).map((rows, layer) => {
      const columns = widths[layer];
      return {
        rows,
        columns,
        weights: Array.from({ length: rows * columns }, (_, i) => Math.sin(i + layer)),
      };
    }),
  );
}
