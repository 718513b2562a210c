/**
 * A program as its kernels run it: an operation whose output one other reads alone may be computed by that one's
 * kernel, where it claims it.
 */

import type { AnyOp, Graph, OpName } from '../../ternary/graph.js';
import type { Recipe, Recipes } from './recipe.js';

/** An operation, and those that its kernels compute with it. */
export interface Unit {
  readonly op: AnyOp;
  readonly absorbed: readonly AnyOp[];
  /** Slots: of the operation, or of what it has absorbed. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** What runs an operation. */
export function recipeOf(recipes: Recipes, { op }: AnyOp): Recipe<OpName> {
  return recipes[op] as unknown as Recipe<OpName>;
}

/**
 * The units of a program, in its order.
 * @param probes - whether sums are disturbed: what is probed is then an operation by itself
 */
export function unitsOf({ program }: Graph, recipes: Recipes, probes: boolean): readonly Unit[] {
  const readersOf = (slot: number) => program.filter(({ inputs }) => inputs.includes(slot));
  const absorbed = new Set<AnyOp>();
  const absorbing = new Set<AnyOp>();
  const units = program.map((op): Unit => {
    const { absorbs } = recipeOf(recipes, op);
    const before = op.inputs.map((slot) => program.find(({ outputs }) => outputs.includes(slot)));
    const isClaimed = (one: AnyOp | undefined): one is AnyOp =>
      one !== undefined &&
      absorbs !== undefined &&
      absorbs(op, one) &&
      !absorbing.has(one) &&
      one.outputs.length === 1 &&
      readersOf(one.outputs[0]).length === 1 &&
      !(probes && one.probe !== undefined);
    if (!before.every(isClaimed)) return { op, absorbed: [], inputs: op.inputs, outputs: op.outputs };
    absorbing.add(op);
    for (const one of before) absorbed.add(one);
    return { op, absorbed: before, inputs: before.flatMap(({ inputs }) => inputs), outputs: op.outputs };
  });
  return units.filter(({ op }) => !absorbed.has(op));
}
