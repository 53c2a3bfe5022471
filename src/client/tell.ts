import { bumpRuns } from '../store/sql/bump-runs.js';
import { forwardMessages } from '../store/sql/send-signal.js';
import type { ClientSurroundings } from './surroundings.js';

/** Tells a run that a message has come. Whatever keeps it from that, the inbox sweep will. */
export async function tellOfMessage(surroundings: ClientSurroundings, runId: string): Promise<void> {
  const { database } = surroundings;
  try {
    const [bumped] = await bumpRuns(database, [runId]);
    if (!bumped) {
      const successor = await forwardMessages(database, runId);
      return successor === undefined ? undefined : await tellOfMessage(surroundings, successor);
    }
    if (bumped.status === 'pending') await surroundings.due([bumped]);
    else if (bumped.status === 'running') surroundings.messaged(runId);
  } catch {
    // The message is durable.
  }
}
