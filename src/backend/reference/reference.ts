/**
 * The oracle: every operation of the backend interface in plain TypeScript, one example at a
 * time, written to be read. Slow; for tests, for small work, and as the definition of what
 * the other backends must compute. Loaded when something is placed: few pages have a use for it.
 */

import type { Network } from '../../ternary/network.js';
import type { Transformer } from '../../ternary/transformer.js';
import type { Backend, PlacedNetwork, PlacedText, Room, TextRoom } from '../backend.js';
import { NetworkInTurns, TextInTurns } from '../in-turns.js';

export class ReferenceBackend implements Backend {
  readonly name = 'reference';
  readonly summary = 'reference, plain TypeScript, 1 thread';

  async place(network: Network, room: Room): Promise<PlacedNetwork> {
    const { ReferenceNetwork } = await import('./placed.js');
    return new NetworkInTurns(new ReferenceNetwork(network, room), room);
  }

  async placeText(model: Transformer, room: TextRoom): Promise<PlacedText> {
    const { ReferenceText } = await import('./placed.js');
    return new TextInTurns(new ReferenceText(model, room), room);
  }

  async close(): Promise<void> {}
}
