/**
 * The integer transformer over bytes: what it is made of, and the bounds that make its arithmetic exact. It is
 * llama-like: normalization before each part of a block, rotary positions, causal attention with grouped heads, a
 * gated SiLU feed-forward, a residual stream, no biases. Matrices of the blocks are trits, embedding and head
 * integers of eight bits or trits. Activations are i8 in fixed units, sums and the residual stream i32.
 * docs/transformer.md is the specification; rms-norm.ts, rotary.ts, attention.ts and silu.ts are its parts.
 */

import { printable } from '../../errors.js';
import { type Graph, GraphBuilder, type Initial, type Probe, type Slot } from '../graph.js';
import { type Model, PARAMETERS_MAX, type Tensor, TENSOR_WEIGHTS_MAX } from '../model.js';
import type { Values } from '../precision.js';
import { ceilLog2 } from '../rounding.js';
import {
  EMBEDDING_SHIFT,
  FINER_BITS,
  GATE_BITS,
  HEAD_BITS,
  HIDDEN_BITS,
  I8_MAX,
  LOGIT_BITS,
  LOGIT_SHIFT,
  MIX_BITS,
  NORM_BITS,
  RESIDUAL_BITS,
  scaleOfReal,
  VOCABULARY,
} from '../units.js';

/** What embedding and head are made of. */
export const EMBEDDINGS = { int8: 'int8', ternary: 'trit' } as const satisfies Record<string, Values>;
export type EmbeddingPrecision = keyof typeof EMBEDDINGS;

/** The numbers that make a transformer. All are stored in the artifact. */
export interface TransformerShape {
  /** L, blocks that are stored, 1…64. */
  readonly blocks: number;
  /** W, the residual stream's width: a multiple of 2·heads, 8…4096. */
  readonly width: number;
  /** H, heads of queries, 1…64. */
  readonly heads: number;
  /** G, heads of keys and values, a divisor of `heads`; each serves heads / keyHeads of queries. */
  readonly keyHeads: number;
  /** F, the feed-forward's width, 8…16384. */
  readonly hidden: number;
  /** T, the longest window, 2…1024. */
  readonly context: number;
  /** Depth recurrence: blocks loopFrom…loopTo − 1 are applied `loops` times over, with the same weights. */
  readonly loopFrom: number;
  readonly loopTo: number;
  /** 1…64; 1 for none. */
  readonly loops: number;
  /** Whether the head is the embedding's matrix. */
  readonly tied: boolean;
  readonly embedding: EmbeddingPrecision;
}

/** The names of a shape's numbers, in their order. */
const SHAPE_KEYS = [
  ...(['blocks', 'width', 'heads', 'keyHeads', 'hidden', 'context'] as const),
  ...(['loopFrom', 'loopTo', 'loops', 'tied', 'embedding'] as const),
] satisfies (keyof TransformerShape)[];

/** The keys of a header that describe a transformer. */
export interface ShapeDescription {
  readonly model: TransformerShape;
}

/** What they must be by themselves. */
export const SHAPE_RULES = {
  model: [
    'the shape of a transformer',
    (value: unknown) => {
      const keys = Object.keys(value as object);
      return keys.length === SHAPE_KEYS.length && SHAPE_KEYS.every((key) => keys.includes(key));
    },
  ],
} as const;

/** The shape of a model alone. */
function shapeOf(model: TransformerShape): TransformerShape {
  return Object.fromEntries(SHAPE_KEYS.map((key) => [key, model[key]])) as unknown as TransformerShape;
}

/** A weight matrix and which of the model's scales brings its sums to their unit. */
export interface ScaledMatrix {
  readonly weights: Tensor;
  /** Row of the tensor `scales`. */
  readonly scale: number;
}

/** The matrices of one block. */
export interface TransformerBlock {
  /** [W, W] */
  readonly query: ScaledMatrix;
  /** [G·headSize, W] */
  readonly key: ScaledMatrix;
  /** [G·headSize, W] */
  readonly value: ScaledMatrix;
  /** [W, W] */
  readonly output: ScaledMatrix;
  /** [F, W] */
  readonly gate: ScaledMatrix;
  /** [F, W] */
  readonly up: ScaledMatrix;
  /** [W, F] */
  readonly down: ScaledMatrix;
}

export interface Transformer extends TransformerShape, Graph {
  readonly headSize: number;
  /** Model order: embedding, each block's matrices, the head unless it is tied, `scales`. */
  readonly tensors: readonly Tensor[];
  /** [256, W] */
  readonly embed: ScaledMatrix;
  readonly layers: readonly TransformerBlock[];
  /** [256, W]; of a tied model the embedding's matrix with a scale of its own. */
  readonly head: ScaledMatrix;
  /** [matrices, 2], mantissa and exponent of each, which docs/transformer.md defines. */
  readonly scales: Tensor;
  /** The blocks in the order in which they are applied, as indices of `layers`. */
  readonly order: readonly number[];
  /** A logit's sum is rounded by so many bits before it is scaled: 127³·W / 2^this < 2^30. */
  readonly headShift: number;
}

/** Whether a model is a transformer, for those who write its parts by name. */
export function isTransformer(model: Graph): model is Transformer {
  return 'embed' in model;
}

const MATRICES = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const;
export type BlockMatrix = (typeof MATRICES)[number];

/**
 * Builds a transformer's description and proves its bounds: a sum of N products of i8 and trits is at most
 * 127·N ≤ 127·2^14 < 2^21, times a mantissa < 2^28; one of W products of i8 and i8 at most 127²·2^12 < 2^26.
 * @throws {RangeError} naming the number that is out of range
 * @example transformerOf({ ...shape, blocks: 4, loopTo: 4 }).name // 'text-4x128'
 */
export function transformerOf(shape: TransformerShape): Transformer {
  const { blocks, width, heads, keyHeads, hidden, context, loopFrom, loopTo, loops, tied, embedding } = shape;
  requireWithin('blocks', blocks, 1, 64);
  requireWithin('heads', heads, 1, 64);
  requireWithin('keyHeads', keyHeads, 1, heads);
  requireWithin('width', width, 8, 4096);
  requireWithin('hidden', hidden, 8, 16_384);
  requireWithin('context', context, 2, 1024);
  requireWithin('loopFrom', loopFrom, 0, blocks - 1);
  requireWithin('loopTo', loopTo, loopFrom + 1, blocks);
  requireWithin('loops', loops, 1, 64);
  if (heads % keyHeads !== 0) throw outside('keyHeads', `a divisor of ${heads} heads`, keyHeads);
  if (width % (2 * heads) !== 0) throw outside('width', `a multiple of ${2 * heads}, twice the heads`, width);
  if (typeof tied !== 'boolean') throw outside('tied', 'true or false', tied);
  if (!Object.hasOwn(EMBEDDINGS, embedding))
    throw outside('embedding', Object.keys(EMBEDDINGS).join(', '), embedding);
  const headSize = width / heads;

  const tensors: Tensor[] = [];
  let offset = 0;
  const tensor = (name: string, values: Values, rows: number, columns: number): Tensor => {
    if (rows * columns > TENSOR_WEIGHTS_MAX) {
      throw outside(
        'model',
        `at most ${TENSOR_WEIGHTS_MAX} weights in a matrix`,
        `${rows} × ${columns} in ${name}`,
      );
    }
    const made = { name, values, rows, columns, offset };
    tensors.push(made);
    offset += rows * columns;
    return made;
  };
  let scaled = 0;
  const matrix = (name: string, values: Values, rows: number, columns: number): ScaledMatrix => ({
    weights: tensor(`${name}.weight`, values, rows, columns),
    scale: scaled++,
  });

  const embed = matrix('embedding', EMBEDDINGS[embedding], VOCABULARY, width);
  const shapes: Record<BlockMatrix, [rows: number, columns: number]> = {
    ...{ query: [width, width], key: [keyHeads * headSize, width], value: [keyHeads * headSize, width] },
    ...{ output: [width, width], gate: [hidden, width], up: [hidden, width], down: [width, hidden] },
  };
  const layers = Array.from({ length: blocks }, (_, block) => {
    const named = MATRICES.map((name) => [name, matrix(`block${block}.${name}`, 'trit', ...shapes[name])]);
    return Object.fromEntries(named) as unknown as TransformerBlock;
  });
  const head = tied
    ? { weights: embed.weights, scale: scaled++ }
    : matrix('head', EMBEDDINGS[embedding], VOCABULARY, width);
  const scales = tensor('scales', 'scale', scaled, 2);
  if (offset > PARAMETERS_MAX) throw outside('model', `at most ${PARAMETERS_MAX} weights`, offset);

  const looped = Array.from({ length: loops }, () => range(loopFrom, loopTo)).flat();
  const order = [...range(0, loopFrom), ...looped, ...range(loopTo, blocks)];
  const headShift = Math.max(0, ceilLog2(width) - 9);
  const model = {
    ...{ blocks, width, heads, keyHeads, hidden, context, loopFrom, loopTo, loops, tied, embedding },
    ...{ headSize, tensors, embed, layers, head, scales, order, headShift, parameters: offset },
  };
  return {
    ...model,
    name: transformerName(shape),
    description: { model: shapeOf(shape) },
    initial: tied ? '"tied" expected false: directions need a head of its own' : initialOf(model),
    ...programOf(model),
  };
}

/** The residual stream through the blocks as they are applied. Sites: 0, then 1 + 7·application + matrix, in model order. */
function programOf(
  model: Omit<Transformer, Exclude<keyof Graph, keyof Model | 'context'>>,
): Omit<Graph, keyof Model | 'name' | 'description' | 'initial'> {
  const { tensors, width, heads, keyHeads, headSize, hidden, context, embed, head, layers, order, loops } =
    model;
  const program = new GraphBuilder({ kind: 'byte', width: 1 });
  const scales = tensors.indexOf(model.scales);
  const stream: Slot = { kind: 'i32', width };
  const i8 = (units: number): Slot => ({ kind: 'i8', width: units });
  const product = (x: number, { weights }: ScaledMatrix, probe?: Probe | 'exact') => {
    const sums: Slot = { kind: 'i32', width: weights.rows };
    const more = { tensors: [tensors.indexOf(weights)], ...(probe && { probe }) };
    return program.add('linear', [x], [sums], { shift: 0 }, more)[0];
  };
  const probeOf = (site: number, horizon: boolean): Probe => ({
    site,
    active: null,
    size: 'coarse magnitude',
    horizon,
  });
  const norm = (x: number) => program.add('rms-norm', [x], [i8(width)], {})[0];
  const scaled = { tensors: [scales] };

  const rows = program.add(
    'embedding',
    [program.input],
    [stream],
    { scale: embed.scale },
    { tensors: [0], probe: probeOf(0, true) },
  );
  let [x] = program.add('rescale', rows, [stream], { scale: embed.scale, to: 'i32' }, scaled);
  for (const [application, layer] of order.entries()) {
    const { query, key, value, output, gate, up, down } = layers[layer];
    const site = (matrix: number) => probeOf(1 + MATRICES.length * application + matrix, matrix < 3); // later positions see keys, queries, values
    const n = norm(x);
    const turned = (matrix: ScaledMatrix, i: number) => {
      const sums = product(n, matrix, site(i));
      const attributes = { scale: matrix.scale, headSize, context };
      return program.add('rotary', [sums], [i8(matrix.weights.rows)], attributes, scaled)[0];
    };
    const q = turned(query, 0);
    const k = turned(key, 1);
    const values = product(n, value, site(2));
    const [v] = program.add(
      'rescale',
      [values],
      [i8(value.weights.rows)],
      { scale: value.scale, to: 'finer i8' },
      scaled,
    );
    const [mix] = program.add('attention', [q, k, v], [i8(width)], { heads, keyHeads, headSize, context });
    const mixed = product(mix, output, site(3));
    [x] = program.add('residual', [x, mixed], [stream], { scale: output.scale }, scaled);
    const m = norm(x);
    const [g, u] = [gate, up].map((matrix, i) => {
      const sums = product(m, matrix, site(4 + i));
      return program.add('rescale', [sums], [i8(hidden)], { scale: matrix.scale, to: 'i8' }, scaled)[0];
    });
    const [h, coarser] = program.add('gate', [g, u], [i8(hidden), { kind: 'byte', width: 1 }], {});
    const summed = product(h, down, site(6));
    [x] = program.add('residual', [x, summed, coarser], [stream], { scale: down.scale }, scaled);
  }
  const sums = product(norm(x), head, 'exact');
  const attributes = { scale: head.scale, shift: model.headShift };
  const [logits] = program.add('logits', [sums], [{ kind: 'i32', width: VOCABULARY }], attributes, scaled);
  program.end(logits, 2 ** LOGIT_SHIFT);
  return {
    ...program.parts,
    ...{ rows: 'positions', context, applications: loops },
    scaling: { tensor: scales, rows: scalingOf(model) },
    fanIns: tensors.map((tensor) => fanInOf(tensor, order.length)),
  };
}

/** Root mean square of the residual stream's first values. */
const EMBEDDING_RMS = 0.8;
/** Root mean square of uniform latents. */
const UNIFORM_RMS = I8_MAX / Math.sqrt(3);
/** What a head's weight of 127 stands for, in logits of a normalized activation of one, before 1/√W. */
const HEAD_MAX = 8;
/** What a gated activation is short of one, so much larger are the weights that read it. */
const GATED_GAIN = 1.5;

/** Uniform trits and integers, a head of zeros, and scales that keep the activations' mean squares. */
function initialOf(model: Omit<Transformer, Exclude<keyof Graph, keyof Model | 'context'>>): Initial[] {
  const { tensors, embed, head, layers, order, width } = model;
  const scales = new Int8Array(2 * model.scales.rows);
  const units = unitsOf(model);
  const branch = 1 / Math.sqrt(2 * order.length);
  const set = ({ scale }: ScaledMatrix, step: number) =>
    scales.set(scaleOfReal(step * units[scale]), 2 * scale);
  /** What a trit stands for, so that a row keeps the mean square of its inputs: two thirds of the trits are ±1. */
  const even = ({ weights }: ScaledMatrix) => Math.sqrt(1.5 / weights.columns);
  const ternary = model.embedding === 'ternary';
  set(embed, EMBEDDING_RMS / (ternary ? Math.sqrt(2 / 3) : UNIFORM_RMS));
  set(head, HEAD_MAX / ((ternary ? 1 : I8_MAX) * Math.sqrt(width)));
  for (const block of layers) {
    for (const name of ['query', 'key', 'value', 'gate', 'up'] as const) set(block[name], even(block[name]));
    set(block.output, even(block.output) * branch);
    set(block.down, even(block.down) * branch * GATED_GAIN);
  }
  return tensors.map((tensor) =>
    tensor === model.scales ? scales : tensor === head.weights ? 'zeros' : 'drawn',
  );
}

/** By scale: its matrix, and the unit that follows, for integers that stand for themselves. */
function scalingOf(
  model: Pick<Transformer, 'tensors' | 'scales' | 'embed' | 'head' | 'layers' | 'headShift'>,
) {
  const { tensors, embed, head, layers } = model;
  const units = unitsOf(model);
  const matrices = [embed, ...layers.flatMap((block) => MATRICES.map((name) => block[name])), head];
  return matrices.map(({ weights, scale }) => ({ matrix: tensors.indexOf(weights), unit: units[scale] }));
}

/** Standard deviation of the embedding's first weights. */
const EMBEDDING_SIGMA = 0.5;
/** By so much is the head smaller at first than LeCun's rule has it: early logits are near zero. */
const HEAD_SHARE = 0.3;

/** See {@link Graph.fanIns}: matrices that write to the residual stream are smaller the more of them there are (GPT-2). */
function fanInOf({ name, columns }: Tensor, applications: number): number {
  if (name === 'embedding.weight') return EMBEDDING_SIGMA ** -2;
  if (name === 'head.weight') return columns / HEAD_SHARE ** 2;
  return /\.(output|down)\./.test(name) ? columns * 2 * applications : columns;
}

/** By scale: the unit that follows, for a matrix whose integers stand for themselves. */
export function unitsOf({
  scales,
  embed,
  head,
  layers,
  headShift,
}: Pick<Transformer, 'scales' | 'embed' | 'head' | 'layers' | 'headShift'>): number[] {
  const units = new Array<number>(scales.rows).fill(0);
  units[embed.scale] = 2 ** (RESIDUAL_BITS - EMBEDDING_SHIFT);
  for (const { query, key, value, output, gate, up, down } of layers) {
    for (const { scale } of [query, key, value]) units[scale] = 2 ** (HEAD_BITS + FINER_BITS - NORM_BITS);
    for (const { scale } of [gate, up]) units[scale] = 2 ** (GATE_BITS - NORM_BITS);
    units[output.scale] = 2 ** (RESIDUAL_BITS - MIX_BITS);
    units[down.scale] = 2 ** (RESIDUAL_BITS - HIDDEN_BITS);
  }
  units[head.scale] = Math.LOG2E * 2 ** (LOGIT_BITS + headShift - NORM_BITS);
  return units;
}

/** A model's name for people: `text-4x128`, and what is not usual of it. */
function transformerName({ blocks, width, loops, embedding, tied }: TransformerShape): string {
  const more = [loops > 1 ? `loops ${loops}` : '', embedding === 'int8' ? '' : embedding, tied ? 'tied' : ''];
  return [`text-${blocks}x${width}`, ...more.filter((part) => part !== '')].join(', ');
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function requireWithin(name: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw outside(name, `an integer in ${minimum}…${maximum}`, value);
  }
}

function outside(name: string, what: string, got: unknown): RangeError {
  return new RangeError(`"${name}" expected ${what}, got ${printable(String(got))}`);
}
