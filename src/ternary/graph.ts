/**
 * A model as data: tensors, activation slots, and a program of coarse operations. Builders make graphs from the
 * header of an artifact; src/ops defines what each operation computes; backends execute programs and know no
 * architecture. Every slot is written once: depth recurrence names the same tensors again, not the same slots.
 */

import type { Model } from './model.js';

/** What the values of a slot are: a byte of text, 0…127, ±127, or 32 bits. */
export type SlotKind = 'byte' | 'u7' | 'i8' | 'i32';

/** Activations of one row between two operations. */
export interface Slot {
  readonly kind: SlotKind;
  readonly width: number;
}

/** The attributes of each operation, by its name. */
export interface Attributes {
  /** Sums of products; `shift`: fraction bits of the weights. Tensors: weights, and scales of the rows if it has them. */
  linear: { readonly shift: number };
  /** Pre-activations to u7. */
  normalize: { readonly centred: boolean; readonly gain: number };
  /** The residual stream to i8. */
  'rms-norm': Record<never, never>;
  /**
   * A byte's row of a matrix, in finer units. Tensors: the matrix. The rescaling that follows has `scale`, too; what
   * rescales a table beforehand takes it from here.
   */
  embedding: { readonly scale: number };
  /**
   * Sums in another unit: as they are, rounded to i8, or to i8 by way of what is FINER_BITS finer; `scale` is a row
   * of the model's scales. Tensors: the scales.
   */
  rescale: { readonly scale: number; readonly to: 'i32' | 'i8' | 'finer i8' };
  /**
   * The stream, and sums that are rescaled and added to it; a third input says by how many bits the unit of the sums
   * is coarser. Tensors: the scales.
   */
  residual: { readonly scale: number };
  /** Sums of a query or key matrix, rescaled, turned by their position, in i8. Tensors: the scales. */
  rotary: { readonly scale: number; readonly headSize: number; readonly context: number };
  /** Queries, keys and values to what they mix. */
  attention: {
    readonly heads: number;
    readonly keyHeads: number;
    readonly headSize: number;
    readonly context: number;
  };
  /** Gate and up to hidden activations, and by how many bits their unit is coarser. */
  gate: Record<never, never>;
  /** Sums of the head to logits. Tensors: the scales. */
  logits: { readonly scale: number; readonly shift: number };
  /** Logits to losses and predictions; the end of a program. */
  loss: { readonly logitScale: number };
}

export type OpName = keyof Attributes;

/** How node perturbation disturbs the sums of an operation. Nothing here is derived from an operation's place. */
export interface Probe {
  /** Index of the Philox stream of its probes. */
  readonly site: number;
  /** Which units are disturbed: those that are not zero in this slot, or all. */
  readonly active: number | null;
  /** What the size of a probe is a share of: the mean magnitude of the sums, centred or not, or a coarse one. */
  readonly size: 'magnitude' | 'centred magnitude' | 'coarse magnitude';
  /** Whether later positions see its outcome, so that their losses may count to a reward. */
  readonly horizon: boolean;
}

export interface Op<N extends OpName = OpName> {
  readonly op: N;
  /** Slots. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** Indices of the model's tensors. */
  readonly tensors: readonly number[];
  readonly attributes: Attributes[N];
  /** Of what is trained by node perturbation; 'exact' where the loss gives the error in closed form. */
  readonly probe?: Probe | 'exact';
}

/** One operation of any kind. */
export type AnyOp = { [N in OpName]: Op<N> }[OpName];

/** The scales of a model whose sums are rescaled: a tensor of mantissas and exponents. */
export interface Scaling {
  /** Its index. */
  readonly tensor: number;
  /** Of each row, the matrix whose sums it rescales, and what a unit of them would be if its integers stood for themselves. */
  readonly rows: readonly { readonly matrix: number; readonly unit: number }[];
}

export interface Graph extends Model {
  /** The keys of a header that describe it: from them its builder makes it again. */
  readonly description: Readonly<Record<string, unknown>>;
  /** For people: `784-256-10`, `text-4x128`. */
  readonly name: string;
  /** The first is the input. */
  readonly slots: readonly Slot[];
  readonly program: readonly AnyOp[];
  /** Whether rows are examples by themselves, or positions that see earlier ones. */
  readonly rows: 'examples' | 'positions';
  /** The most rows that see each other: 1 for examples. */
  readonly context: number;
  readonly scaling: Scaling | null;
  /** Of each tensor: its first real weights have the variance 1 / this (LeCun 1998, and smaller towards the stream). */
  readonly fanIns: readonly number[];
  /** The most operations that read one tensor: as often do its alignments add up. */
  readonly applications: number;
  /** How the values of each tensor begin where directions train them; or why none can, in words. */
  readonly initial: readonly Initial[] | string;
}

/** First values of a tensor: drawn from its stream, zeros, or these for every key. */
export type Initial = 'drawn' | 'zeros' | Int8Array;

/** Classes, or bytes, that a model tells apart. */
export function classesOf({ slots, program }: Pick<Graph, 'slots' | 'program'>): number {
  const [logits] = (program.at(-1) as AnyOp).inputs;
  return slots[logits].width;
}

/** Collects slots and operations. */
export class GraphBuilder {
  readonly #slots: Slot[];
  readonly #program: AnyOp[] = [];
  /** The input's slot. */
  readonly input = 0;

  constructor(input: Slot) {
    this.#slots = [input];
  }

  get parts(): Pick<Graph, 'slots' | 'program'> {
    return { slots: this.#slots, program: this.#program };
  }

  /** The slot that the next operation will write first. */
  get next(): number {
    return this.#slots.length;
  }

  /** Appends an operation; returns the slots that it writes. */
  add<N extends OpName>(
    op: N,
    inputs: readonly number[],
    outputs: readonly Slot[],
    attributes: Attributes[N],
    more: { readonly tensors?: readonly number[]; readonly probe?: Probe | 'exact' } = {},
  ): number[] {
    const slots = outputs.map((_, i) => this.next + i);
    this.#slots.push(...outputs);
    this.#program.push({ op, inputs, outputs: slots, tensors: [], attributes, ...more } as Op<N> as AnyOp);
    return slots;
  }

  /** Appends the loss of logits. */
  end(logits: number, logitScale: number): void {
    const one: Slot = { kind: 'i32', width: 1 };
    this.add('loss', [logits], [one, one], { logitScale });
  }
}
