/**
 * The oracle: every operation of the backend interface in plain TypeScript, one example at a
 * time, written to be read. Slow; for tests, for small work, and as the definition of what
 * the other backends must compute. Loaded when something is placed: few pages have a use for it.
 */

import type { Graph } from '../../ternary/graph.js';
import type { Backend, Placed, Room } from '../backend.js';
import { PlacedInTurns } from '../in-turns.js';

export class ReferenceBackend implements Backend {
  readonly name = 'reference';
  readonly summary = 'reference, plain TypeScript, 1 thread';

  async place(graph: Graph, room: Room): Promise<Placed> {
    const { ReferencePlaced } = await import('./placed.js');
    return new PlacedInTurns(new ReferencePlaced(graph, room), room);
  }

  async close(): Promise<void> {}
}
