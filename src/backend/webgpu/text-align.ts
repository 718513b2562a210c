/**
 * Node perturbation of a transformer on a device. A part of the windows goes through it once; at each site, the
 * embedding and every matrix as it is applied, copies with disturbed sums go on from there to their losses, as many
 * probes at a time as the work memory has room for. docs/transformer.md and the reference define it.
 */

import { Purpose, streamOf } from '../../random/philox.js';
import type { ScaledMatrix, TransformerBlock } from '../../ternary/builders/transformer.js';
import { VOCABULARY } from '../../ternary/units.js';
import type { Probes } from '../backend.js';
import type { DeviceBuffer } from './device.js';
import { alignWeightsKernel, ALIGN_SIDES } from './kernels/align.js';
import { linearGroups } from './kernels/kernel.js';
import { COPY_SIZE, spreadKernel } from './kernels/perturb.js';
import {
  errorsKernel,
  exactErrorsKernel,
  PROBE_SIZE,
  PROBES_PER_GROUP,
  transposeKernel,
  UNITS_PER_BLOCK,
} from './kernels/probes.js';
import { keyParams } from './kernels/random.js';
import {
  disturbSumsKernel,
  embeddingErrorsKernel,
  sizesKernel,
  textRewardsKernel,
  textSignsKernel,
} from './kernels/text-probes.js';
import { tileCounts, TILE_SIDE } from './kernels/tile.js';
import { ITEMS } from './kernels/transformer.js';
import { roundUp, VALUES_PER_VEC4 } from './plan.js';
import {
  type Activations,
  type Rows,
  type Take,
  takeActivations,
  type TextForward,
  widestOf,
} from './text-forward.js';

/** Matrices of a block, which are as many sites. */
const MATRICES = 7;

/** What is loaded, and the rows that go through the model undisturbed. */
interface Batch {
  readonly rows: Activations;
  readonly bytes: DeviceBuffer;
  readonly labels: DeviceBuffer;
  readonly losses: DeviceBuffer;
  readonly predictions: DeviceBuffer;
}

/** Rows that go at a time: positions of whole windows. */
interface Part {
  /** Index of the first. */
  readonly first: number;
  readonly rows: number;
  readonly length: number;
}

/** One call's probes of a part. */
interface Probing extends Part {
  readonly probes: Probes;
  readonly limit: number;
}

/** A place in the model whose sums are disturbed. */
interface Site {
  readonly site: number;
  readonly matrix: ScaledMatrix;
  readonly units: number;
  /** Its sums, undisturbed. */
  readonly base: DeviceBuffer;
  /** Whether losses at later positions count as well. */
  readonly isSeenLater: boolean;
  /** The application of a block that comes after this one. */
  readonly next: number;
  /** Records what is left of the block, from the copies' sums in their `z`. */
  readonly goOn: (copies: Rows) => void;
}

export class TextAligner {
  /** Σ error·input of every value, in model order; those of scales stay 0. */
  readonly alignments: DeviceBuffer;
  /** Copies that go at a time have so many rows at most, and a pair of them always fits. */
  readonly #copyRows: number;
  readonly #copies: Activations;
  readonly #copyLosses: DeviceBuffer;
  readonly #sizes: DeviceBuffer;
  readonly #signs: DeviceBuffer;
  readonly #rewards: DeviceBuffer;
  /** [units, stride] and [inputs, stride], transposed: an example a byte. */
  readonly #errorsLow: DeviceBuffer;
  readonly #errorsHigh: DeviceBuffer;
  readonly #inputs: DeviceBuffer;
  /** Words of a transposed row. */
  readonly #stride: number;

  /**
   * @param room - windows and probes that go at a time
   * @param rowsMax - rows for which there is work memory
   */
  constructor(
    readonly forward: TextForward,
    readonly batch: Batch,
    { windows, probes }: { readonly windows: number; readonly probes: number },
    rowsMax: number,
    take: Take,
  ) {
    const { model, device } = forward;
    const rows = windows * model.context;
    const widest = widestOf(model);
    const pairs = Math.min(PROBES_PER_GROUP, Math.max(1, probes), Math.floor(rowsMax / (2 * rows)));
    this.#copyRows = 2 * Math.max(1, pairs) * rows;
    this.#copies = takeActivations(model, this.#copyRows, device.workBytes, take);
    this.#copyLosses = take('losses of copies', this.#copyRows);
    this.alignments = take('alignments', model.parameters);
    this.#sizes = take('sizes of probes', rows);
    this.#signs = take('signs of probes', rows * widest);
    this.#rewards = take('rewards', rows * PROBES_PER_GROUP);
    this.#stride = roundUp(rows, VALUES_PER_VEC4) / 4;
    this.#errorsLow = take('errors', widest * this.#stride);
    this.#errorsHigh = take('errors', widest * this.#stride);
    this.#inputs = take('inputs', widest * this.#stride);
  }

  /** Sets all alignments to zero. */
  begin(): void {
    this.forward.device.clear(this.alignments);
  }

  /**
   * Records the evaluation of a part, and adds to the alignments.
   * @param limit - of a reward
   */
  record(part: Part, probes: Probes, limit: number): void {
    const { forward, batch } = this;
    const { model } = forward;
    const all: Rows = { at: batch.rows, rows: part.rows, length: part.length, start: 0 };
    const probing = { ...part, probes, limit };
    if (probes.probes > 0) this.#probeEmbedding(probing);
    forward.embed(batch.bytes, all.at.x, part.rows, part.first);
    model.order.forEach((layer, application) => {
      const block = model.layers[layer];
      if (probes.probes > 0) this.#probeBlock(block, application, all, probing);
      else forward.block(block, all);
    });
    forward.logits(all);
    const { first, rows: examples } = part;
    forward.losses(all, batch, { first, examples, firstResult: first, whole: true });
    this.#alignHead(all, first);
  }

  #probeEmbedding(probing: Probing): void {
    const { forward, batch } = this;
    const { embed, width } = forward.model;
    const base = batch.rows.z;
    forward.embed(batch.bytes, base, probing.rows, probing.first, false);
    const site = { site: 0, matrix: embed, units: width, base, isSeenLater: true, next: 0 };
    this.#probe({ ...site, goOn: (copies) => forward.scaleEmbedding(copies) }, probing);
  }

  /** Records a block, and the probes of its matrices where their sums are at hand. */
  #probeBlock(block: TransformerBlock, application: number, all: Rows, probing: Probing): void {
    const { forward } = this;
    const { at, rows } = all;
    const { n, z, z2, q, keys, values, mix, h } = at;
    const site = 1 + MATRICES * application;
    const next = application + 1;
    const probe = (
      index: number,
      matrix: ScaledMatrix,
      base: DeviceBuffer,
      inputs: DeviceBuffer,
      goOn: Site['goOn'],
    ): void => {
      const { units } = forward.matrix(matrix);
      this.#probe(
        { ...{ site: site + index, matrix, units, base }, isSeenLater: index < 3, next, goOn },
        probing,
      );
      this.#align(matrix, inputs, rows);
    };
    /** Attention of copies, each of whose sources is their own or that of the rows, and what follows. */
    const attend = (copies: Rows, own: Partial<Record<'q' | 'keys' | 'values', DeviceBuffer>>): void => {
      const rowsOf = (source?: DeviceBuffer) => (source ? copies.rows : rows);
      forward.attention(
        {
          ...{ q, keys, values, ...own, keysFrom: 0 },
          ...{ queryRows: rowsOf(own.q), keyRows: rowsOf(own.keys), valueRows: rowsOf(own.values) },
        },
        copies,
      );
      this.#copyStream(all, copies);
      forward.output(block, copies);
      forward.feedForward(block, copies);
    };

    forward.attentionInputs(block, all, keys, values, 0);
    forward.product(block.query, n, z, rows);
    probe(0, block.query, z, n, (copies) => {
      forward.turn(block.query, copies.at.q, 0, copies);
      attend(copies, { q: copies.at.q });
    });
    forward.product(block.key, n, z, rows);
    probe(1, block.key, z, n, (copies) => {
      forward.turn(block.key, copies.at.keys, 0, copies);
      attend(copies, { keys: copies.at.keys });
    });
    forward.product(block.value, n, z, rows);
    probe(2, block.value, z, n, (copies) => {
      forward.narrow(block.value, copies.at.values, 0, copies);
      attend(copies, { values: copies.at.values });
    });
    const sources = { q, keys, values, queryRows: rows, keyRows: rows, valueRows: rows, keysFrom: 0 };
    forward.attention(sources, all);
    forward.product(block.output, mix, z, rows);
    probe(3, block.output, z, mix, (copies) => {
      this.#copyStream(all, copies);
      forward.add(block.output, copies);
      forward.feedForward(block, copies);
    });
    forward.add(block.output, all);

    forward.norm(all);
    forward.product(block.gate, n, z, rows);
    forward.product(block.up, n, z2, rows);
    probe(4, block.gate, z, n, (copies) => {
      forward.gate(block, copies.at.z, z2, copies, { upRows: rows });
      this.#copyStream(all, copies);
      forward.down(block, copies);
    });
    probe(5, block.up, z2, n, (copies) => {
      forward.gate(block, z, copies.at.z, copies, { gateRows: rows });
      this.#copyStream(all, copies);
      forward.down(block, copies);
    });
    forward.gate(block, z, z2, all);
    forward.product(block.down, h, z, rows);
    probe(6, block.down, z, h, (copies) => {
      this.#copyStream(all, copies);
      forward.addHidden(block.down, copies, all);
    });
    forward.addHidden(block.down, all);
  }

  /** Records all probes of a site; its errors are left transposed, or are in the embedding's alignments. */
  #probe(
    { site, matrix, units, base, isSeenLater, next, goOn }: Site,
    { rows, first, length, limit, probes: asked }: Probing,
  ): void {
    const { forward, batch } = this;
    const { key, step, probes, sigma, rewardShift, horizon = 0, shard } = asked;
    const { recorder } = forward;
    const sizes = this.#sizes;
    const signs = this.#signs;
    const rewards = this.#rewards;
    recorder.add(
      forward.kernel('sizes', sizesKernel),
      { z: base, sizes },
      { rows, units, sigma },
      linearGroups(rows, 1),
    );
    const atOnce = Math.floor(this.#copyRows / (2 * rows));
    for (let from = 0; from < probes; from += PROBES_PER_GROUP) {
      recorder.add(
        forward.kernel('textSigns', textSignsKernel),
        { signs },
        {
          ...{ examples: rows, units, ...keyParams(key), step, group: from / PROBES_PER_GROUP },
          ...{ stream: streamOf(Purpose.probe, site), firstExample: (shard?.first ?? 0) + first },
        },
        linearGroups(rows * Math.ceil(units / UNITS_PER_BLOCK), 1),
      );
      const end = Math.min(probes, from + PROBES_PER_GROUP);
      for (let firstProbe = from; firstProbe < end; firstProbe += atOnce) {
        const count = Math.min(atOnce, end - firstProbe);
        const copies: Rows = { at: this.#copies, rows: 2 * count * rows, length, start: 0 };
        const items = copies.rows * units;
        recorder.add(
          forward.kernel('disturbSums', disturbSumsKernel),
          { base, sizes, signs, z: copies.at.z },
          { items, examples: rows, units, firstProbe },
          linearGroups(items, ITEMS),
        );
        goOn(copies);
        forward.blocksFrom(next, copies);
        forward.logits(copies);
        forward.losses(
          copies,
          { ...batch, losses: this.#copyLosses },
          { first, examples: rows, firstResult: 0, whole: false },
        );
        recorder.add(
          forward.kernel('textRewards', textRewardsKernel),
          { losses: this.#copyLosses, rewards },
          {
            ...{ examples: rows, probes: count, length, horizon: isSeenLater ? horizon : 0 },
            ...{ rewardShift, limit },
          },
          linearGroups(rows * count, ITEMS),
        );
        if (site === 0) {
          recorder.add(
            forward.kernel('embeddingErrors', embeddingErrorsKernel),
            { bytes: batch.bytes, signs, rewards, alignments: this.alignments },
            {
              ...{ examples: rows, width: units, firstExample: first, firstProbe, probes: count },
              first: matrix.weights.offset,
            },
            linearGroups(rows * units, ITEMS),
          );
          continue;
        }
        recorder.add(
          forward.kernel(`errors ${units}`, () => errorsKernel({ units })),
          { signs, rewards, errorsLow: this.#errorsLow, errorsHigh: this.#errorsHigh },
          { ...this.#quads(rows), firstProbe, probes: count, add: firstProbe > 0 ? 1 : 0 },
          quadGroups(units, rows),
        );
      }
    }
  }

  /** The head's errors need no probes: softmax less target, of the logits and sums at hand. */
  #alignHead({ at: { z, n, softmaxSums: softmax }, rows }: Rows, first: number): void {
    const { forward, batch } = this;
    const { width, head } = forward.model;
    forward.recorder.add(
      forward.kernel('exactErrors', () => exactErrorsKernel({ widths: [width, VOCABULARY], logitScale: 1 })),
      {
        ...{ tables: forward.tables, labels: batch.labels, z, softmax },
        ...{ errorsLow: this.#errorsLow, errorsHigh: this.#errorsHigh },
      },
      { ...this.#quads(rows), firstExample: first },
      quadGroups(VOCABULARY, rows),
    );
    this.#align(head, n, rows);
  }

  /** Adds errors times inputs to a matrix' alignments. */
  #align(of: ScaledMatrix, x: DeviceBuffer, rows: number): void {
    const { forward, alignments } = this;
    const { device, recorder } = forward;
    const { units, inputs, depth, offset } = forward.matrix(of);
    recorder.add(
      forward.kernel(`transpose ${inputs}`, () => transposeKernel({ inputs, depth })),
      { x, transposed: this.#inputs },
      { ...this.#quads(rows), firstRow: 0 },
      quadGroups(4 * depth, rows),
    );
    const counts = tileCounts(units, inputs, ALIGN_SIDES, device.workgroupBytes, device.tiles);
    recorder.add(
      forward.kernel(`alignWeights ${JSON.stringify(counts)}`, () =>
        alignWeightsKernel(counts, device.features),
      ),
      { errorsLow: this.#errorsLow, errorsHigh: this.#errorsHigh, inputs: this.#inputs, alignments },
      {
        ...{ units, inputs, stride: this.#stride / 4, depth: Math.ceil(rows / VALUES_PER_VEC4) },
        first: offset,
      },
      [Math.ceil(units / (TILE_SIDE * counts.lefts)), Math.ceil(inputs / (TILE_SIDE * counts.rights))],
    );
  }

  /** The residual stream of the rows, for all of their copies. */
  #copyStream({ at, rows }: Rows, { at: { x }, rows: copies }: Rows): void {
    const { forward } = this;
    const { width } = forward.model;
    forward.recorder.add(
      forward.kernel('spread', spreadKernel),
      { z: at.x, copies: x },
      { count: copies * width, period: rows * width },
      linearGroups(copies * width, COPY_SIZE),
    );
  }

  #quads(rows: number) {
    return { rows, firstQuad: 0, stride: this.#stride };
  }
}

/** Quads up to the next 16 examples, so that a vec4 of them is whole. */
function quadGroups(units: number, rows: number): readonly [number, number] {
  return [Math.ceil(units / PROBE_SIZE), roundUp(rows, VALUES_PER_VEC4) / 4];
}
