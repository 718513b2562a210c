/** Files of other formats, called what they are: a model under the wrong name is the commonest wrong input. */

/** From a model in memory to a file that can be read here. */
const SAVE = "save the weights by safetensors.torch.save_file(model.state_dict(), 'model.safetensors')";
const SAVE_ARRAYS = "save the weights by safetensors.numpy.save_file({name: array}, 'model.safetensors')";

interface Format {
  /** What the first bytes are, one of these, as letters of Latin-1. */
  readonly begins: readonly string[];
  /** Where that is, if not at the start. */
  readonly at?: number;
  readonly what: string;
}

const FORMATS: readonly Format[] = [
  {
    begins: ['PK\x03\x04', 'PK\x05\x06'],
    what: `a zip archive, as PyTorch's .pt and .pth, Keras's .keras and NumPy's .npz are: ${SAVE}`,
  },
  {
    begins: ['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'],
    what: `a pickle, as old .pt and .pkl files are: ${SAVE}`,
  },
  { begins: ['\x89HDF\r\n\x1a\n'], what: `HDF5, as Keras's .h5 is: ${SAVE_ARRAYS}` },
  {
    begins: ['GGUF', 'ggml', 'lmgg', 'ggjt', 'tjgg'],
    what: 'GGUF or GGML, which is not read here: convert the model that it was made from',
  },
  { begins: ['TERN'], what: 'an artifact of ternseed, which needs no import' },
  { begins: ['TFL3'], at: 4, what: `TensorFlow Lite: ${SAVE_ARRAYS}` },
  { begins: ['\x93NUMPY'], what: `a NumPy array: ${SAVE_ARRAYS}` },
  { begins: ['\x89PNG\r\n\x1a\n', '\xff\xd8\xff', 'GIF8'], what: 'a picture' },
  { begins: ['%PDF'], what: 'a PDF document' },
  { begins: ['ustar'], at: 257, what: 'a tar archive: unpack it' },
  {
    begins: ['\x1f\x8b', '\x28\xb5\x2f\xfd', '\xfd7zXZ\0', 'BZh'],
    what: 'a packed file (gzip, zstd, xz or bzip2): unpack it',
  },
  { begins: ['PAR1'], what: 'a Parquet table' },
  { begins: ['\0\0\x08\x01', '\0\0\x08\x03'], what: 'IDX data, which hold no model' },
  { begins: ['\x7fELF', 'MZ'], what: 'a program' },
  {
    begins: ['version https://git-lfs'],
    what: 'a pointer of Git LFS in place of the file: fetch it with `git lfs pull`',
  },
];

/** Kinds that begin in many ways. */
const PATTERNS: readonly (readonly [begins: RegExp, what: string])[] = [
  [
    /^(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|head|body|!--)/i,
    'a web page: is its address that of the file?',
  ],
  [
    /^(?:\xef\xbb\xbf)?\s*[{[]/,
    'JSON: the weights are in another file, model.safetensors or those that an index names',
  ],
];

/** Bytes that are looked at. */
const LOOKED_AT = 512;
/** A header of safetensors has less than 2^24 bytes here, and begins with a brace behind its length. */
const ZEROS = [3, 4, 5, 6, 7];
const BRACE = 0x7b;

/**
 * What a file is that cannot be read as one of safetensors, and what to do with it.
 * @param bytes - the whole file
 * @returns null for what looks like one all the same, and for what is unknown
 * @example nameOfFormat(await readFile('model.pt'))
 */
export function nameOfFormat(bytes: Uint8Array): string | null {
  if (bytes.length === 0) return 'an empty file';
  if (bytes[8] === BRACE && ZEROS.every((at) => bytes[at] === 0)) return null;
  const first = String.fromCharCode(...bytes.subarray(0, LOOKED_AT));
  const format = FORMATS.find(({ begins, at = 0 }) => begins.some((magic) => first.startsWith(magic, at)));
  if (format) return format.what;
  if (isProtobuf(bytes)) return `a protobuf, as ONNX and TensorFlow's .pb are: ${SAVE_ARRAYS}`;
  return PATTERNS.find(([begins]) => begins.test(first))?.[1] ?? null;
}

/** ONNX's ModelProto: ir_version, a small number, then one of the fields that follow it. */
function isProtobuf([version, value, field]: Uint8Array): boolean {
  return version === 0x08 && value <= 32 && [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42].includes(field);
}
