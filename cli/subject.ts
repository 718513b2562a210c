/** What a run is trained on, by which trainer. */

import type { Header } from '../src/artifact/header.js';
import type { InputsHeader } from '../src/artifact/inputs.js';
import type { Examples } from '../src/data/dataset.js';
import { expected } from '../src/errors.js';
import type { Key } from '../src/random/philox.js';
import type { Graph } from '../src/ternary/graph.js';
import type { Settings } from '../src/train/setting.js';
import type { RunConfig, Trainer } from '../src/train/trainer.js';
import type { Watch } from '../src/watch.js';

/** The trainers. */
export const METHODS = ['noise-step', 'ste'] as const;
export type Method = (typeof METHODS)[number];

/** What the end of a run adds to what every run reports. */
export interface Extras {
  /** Fields of the JSON. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Lines of the table. */
  readonly rows: readonly (readonly [label: string, value: string])[];
}

/** What a trainer may begin with beside its configuration. */
export interface Start {
  /** Of a delta, the values of its base. */
  readonly base?: Int8Array | undefined;
  /** Of a run that is continued. */
  readonly key?: Key | undefined;
}

/** Data, the trainer that takes them, and which settings it has; `Scored` is what a model is scored on at the end. */
export interface Subject<Config extends RunConfig, Scored, Made extends Trainer<Config> = Trainer<Config>> {
  readonly data: Header['data'];
  readonly inputs?: InputsHeader | undefined;
  readonly settings: Settings;
  check(config: Config): Graph;
  create(config: Config, start: Start): Promise<Made>;
  /** What the run does, for people: `nodes, pool`. */
  title(trainer: Made): string;
  /** What there is to say at the end beside accuracy and bytes. */
  extras(trainer: Made, scored: Scored, watch?: Watch): Promise<Extras>;
}

/** Takes the last examples of a training set away, to choose on. */
export function splitTraining(
  train: Examples,
  holdout: number,
): { train: Examples; heldOut: Examples | null } {
  if (holdout === 0) return { train, heldOut: null };
  if (holdout >= train.count) throw expected('holdout', `fewer than ${train.count} examples`, holdout);
  const part = (from: number, to: number): Examples => ({
    ...train,
    inputs: train.inputs.subarray(from * train.width, to * train.width),
    labels: train.labels.subarray(from, to),
    count: to - from,
  });
  return {
    train: part(0, train.count - holdout),
    heldOut: part(train.count - holdout, train.count),
  };
}
