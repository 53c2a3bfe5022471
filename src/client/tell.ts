import { faultOf } from '../store/database-errors.js';
import { bumpRuns } from '../store/sql/bump-runs.js';
import { forwardMessages } from '../store/sql/send-signal.js';
import type { ClientSurroundings } from './surroundings.js';

/** How often a run is told whose row somebody has locked; each time waits for the lock for a while. */
const TRIES = 10;

/**
 * Tells a run that a message has come. A row that is locked, by the flush that continues the run as another, say, is waited for: until it is told, what the caller sends next
 * could overtake the message. Whatever else keeps it from that, the inbox sweep will.
 */
export async function tellOfMessage(surroundings: ClientSurroundings, runId: string): Promise<void> {
  for (let tries = 1; tries <= TRIES; tries++) {
    try {
      return await tell(surroundings, runId);
    } catch (error) {
      // The message is durable.
      if (!['locked', 'cancelled', 'conflict'].includes(faultOf(error))) return;
    }
  }
}

async function tell(surroundings: ClientSurroundings, runId: string): Promise<void> {
  const { database } = surroundings;
  const [bumped] = await bumpRuns(database, [runId]);
  if (!bumped) {
    const successor = await forwardMessages(database, runId);
    return successor === undefined ? undefined : await tellOfMessage(surroundings, successor);
  }
  if (bumped.status === 'pending') await surroundings.due([bumped]);
  else if (bumped.status === 'running') surroundings.messaged(runId);
}
