/** What the name of a model leaves open, for people. */

import type { Graph } from '../graph.js';
import type { TransformerShape } from './transformer.js';

type Line = [label: string, value: string];

/** Labels and values, in the order in which they are shown. */
export function detailsOf({ description }: Pick<Graph, 'description'>): Line[] {
  const { model, precision } = description;
  if (typeof model === 'object') return shapeLines(model as TransformerShape);
  return precision === undefined ? [] : [['precision', (precision as readonly string[]).join(', ')]];
}

function shapeLines(shape: TransformerShape): Line[] {
  const { heads, keyHeads, hidden, context, loops, loopFrom, loopTo, tied, embedding } = shape;
  const blocks = `blocks ${loopFrom} to ${loopTo - 1}, ${loops} times`;
  return [
    ['heads', keyHeads === heads ? `${heads}` : `${heads} of queries, ${keyHeads} of keys and values`],
    ['hidden', hidden.toLocaleString('en-US')],
    ['context', `${context.toLocaleString('en-US')} bytes`],
    ...(loops === 1 ? [] : [['loop', blocks] as Line]),
    ['embedding', `${embedding}, the head ${tied ? 'is the same matrix' : 'of its own'}`],
  ];
}
