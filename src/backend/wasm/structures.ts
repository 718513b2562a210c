/** What the host writes for the kernels: the fields of the structures in assembly/control.ts, in their order. */

export const CONTROL = [
  ...(['generation', 'job', 'nextTile', 'tiles', 'running', 'rows', 'tileRows'] as const),
  ...(['inputs', 'inputStride', 'labels', 'losses', 'predictions', 'logits', 'next'] as const),
  ...(['program', 'loss', 'tensors', 'tensor', 'scratch', 'scratchStride', 'training'] as const),
  ...(['key0', 'key1', 'step', 'cut', 'sets', 'set', 'coefficients'] as const),
  ...(['words', 'block', 'segment', 'tables', 'tableSums'] as const),
] as const;
export type ControlField = (typeof CONTROL)[number];

export const TENSOR = [
  ...(['rows', 'columns', 'stride', 'outputStride', 'values', 'off', 'transposed', 'codes'] as const),
  ...(['latents', 'least', 'most', 'trit', 'drawn', 'inputs', 'errors', 'live', 'sums'] as const),
] as const;
type TensorField = (typeof TENSOR)[number];
/** What a tensor has where there is room to train. */
export type TrainedTensor = Pick<
  Record<TensorField, number>,
  'transposed' | 'inputs' | 'errors' | 'live' | 'sums'
>;
/** A tensor's shape with its strides, and the addresses of what there is of it; 0 of what there is not. */
export type TensorPlan = Readonly<
  Record<Exclude<TensorField, keyof TrainedTensor>, number> & Partial<TrainedTensor>
>;

/** Words of an instruction: those of `Instruction`, and the most that the class of an operation adds. */
export const INSTRUCTION_WORDS = 13 + 12;
/** Words of a DirectionSet. */
export const SET_WORDS = 18;
