/** The values and latents of all tensors on the device: read, written, drawn, and moved by directions. */

import type { DirectionSet } from '../../random/directions.js';
import { CUT_MAX, latentRange } from '../../random/latents.js';
import { type Key, Purpose, streamOf } from '../../random/philox.js';
import type { Graph, Initial } from '../../ternary/graph.js';
import { VALUE_RANGES } from '../../ternary/precision.js';
import { latentsOfValues, partOf, valueOfLatent } from '../latents.js';
import type { DeviceBuffer } from './device.js';
import {
  gatherKernel,
  initKernel,
  LATENTS_PER_BLOCK,
  poolKernel,
  scatterKernel,
  TENSOR_FIELDS,
} from './kernels/apply.js';
import { itemGroups } from './kernels/kernel.js';
import { keyParams, setParams, SIGNED_SIZE } from './kernels/random.js';
import { type PlacedTensor, placeTensors } from './plan.js';
import { packTensor, unpackTensor } from './trits.js';
import type { Workspace } from './workspace.js';

/** Scatter draws signs and places for each weight alone; gather shares them, but meets every weight. */
const GATHER_SHARE = 4;

export class WeightStore {
  readonly tensors: readonly PlacedTensor[];
  /** Values of all tensors, one after another. */
  readonly weights: DeviceBuffer;
  readonly #latents: DeviceBuffer;
  /** The fields of all tensors. */
  readonly #table: DeviceBuffer;
  readonly #valueWords: number;
  readonly #latentWords: number;
  #cut = 0;

  constructor(
    readonly graph: Graph,
    readonly space: Workspace,
  ) {
    const { placed, valueWords, latentWords } = placeTensors(graph);
    this.tensors = placed;
    this.#valueWords = valueWords;
    this.#latentWords = typeof graph.initial === 'string' ? 0 : latentWords;
    this.weights = space.take('weights', 'weights', valueWords);
    this.#latents = space.take('latents', 'latents', this.#latentWords);
    const fields = placed.flatMap((tensor, index) => {
      const [least, most] = VALUE_RANGES[graph.tensors[index].values];
      const row = { ...tensor, wide: tensor.wide ? 1 : 0, least, most };
      return TENSOR_FIELDS.map((field) => row[field]);
    });
    this.#table = space.table('tensors', () => Int32Array.from(fields));
  }

  write(values: Int8Array): void {
    const words = new Uint32Array(this.#valueWords);
    for (const [index, tensor] of this.tensors.entries()) {
      words.set(packTensor(tensor, partOf(values, this.graph.tensors[index])), tensor.at);
    }
    this.space.device.write(this.weights, words);
  }

  async read(): Promise<Int8Array> {
    const bytes = 4 * this.#valueWords;
    const [words] = await this.space.device.fetch([{ from: this.weights, bytes }]);
    const values = new Int8Array(this.graph.parameters);
    for (const [index, tensor] of this.tensors.entries()) {
      unpackTensor(tensor, new Uint32Array(words), partOf(values, this.graph.tensors[index]));
    }
    return values;
  }

  /** Sets latents to the initial draw of a key, and the values to what they stand for. */
  init(key: Key, cut: number): void {
    this.#cut = cut;
    for (const [index, initial] of (this.graph.initial as readonly Initial[]).entries()) {
      const tensor = this.tensors[index];
      const size = tensor.rows * tensor.columns;
      if (initial !== 'drawn') {
        this.#place(index, initial === 'zeros' ? new Int8Array(size) : initial);
        continue;
      }
      const range = latentRange(tensor.wide ? CUT_MAX : cut);
      this.space.recorder.run(
        'init',
        initKernel,
        { tensors: this.#table, weights: this.weights, latents: this.#latents },
        {
          ...{ ...keyParams(key), stream: streamOf(Purpose.init, index), first: tensor.offset, size },
          ...{ cut, range, firstTensor: index, endTensor: index + 1 },
        },
        itemGroups(Math.ceil(size / LATENTS_PER_BLOCK)),
      );
    }
    this.space.recorder.submit();
  }

  /** Sets latents of a tensor, and the values to what they stand for. */
  #place(index: number, latents: Int8Array): void {
    const { device } = this.space;
    const { at, latentsAt } = this.tensors[index];
    const values = latents.map((latent) => valueOfLatent(this.graph.tensors[index], latent, this.#cut));
    const padded = new Int8Array(4 * Math.ceil(latents.length / 4));
    padded.set(latents);
    device.write(this.#latents, padded, 4 * latentsAt);
    device.write(this.weights, packTensor(this.tensors[index], values), 4 * at);
  }

  /** Sets values, and latents to what they stand for. */
  start(values: Int8Array, cut: number): void {
    this.#cut = cut;
    const latents = new Int8Array(4 * this.#latentWords);
    for (const [index, tensor] of this.graph.tensors.entries()) {
      latents.set(latentsOfValues(tensor, partOf(values, tensor), cut), 4 * this.tensors[index].latentsAt);
    }
    this.space.device.write(this.#latents, latents);
    this.write(values);
  }

  /** One update of a log along every direction of a set. */
  step(set: DirectionSet, coefficients: Int8Array): void {
    const gather = set.touched * GATHER_SHARE > set.size;
    this.space.recorder.run(
      gather ? 'gather' : 'scatter',
      gather ? gatherKernel : scatterKernel,
      this.#buffers(coefficients),
      { ...setParams(set), ...this.#placeParams(set) },
      gather ? itemGroups(set.size, SIGNED_SIZE) : itemGroups(set.touched),
    );
    this.space.recorder.submit();
  }

  /** The values of a pool; the sets' coefficients follow one another. */
  pool(sets: readonly DirectionSet[], coefficients: Int16Array): void {
    const buffers = this.#buffers(coefficients);
    let first = 0;
    for (const set of sets) {
      this.space.recorder.run(
        'pool',
        poolKernel,
        buffers,
        { ...setParams(set), ...this.#placeParams(set), first },
        itemGroups(set.size, SIGNED_SIZE),
      );
      first += set.directions;
    }
    this.space.recorder.submit();
  }

  #buffers(coefficients: Int8Array | Int16Array) {
    return {
      ...{ tensors: this.#table, weights: this.weights, latents: this.#latents },
      coefficients: this.space.put('coefficients', coefficients),
    };
  }

  #placeParams({ offset, size }: DirectionSet) {
    return {
      ...{ cut: this.#cut, range: latentRange(this.#cut) },
      firstTensor: this.tensors.findLastIndex((tensor) => tensor.offset <= offset),
      endTensor: this.tensors.filter((tensor) => tensor.offset < offset + size).length,
    };
  }
}
