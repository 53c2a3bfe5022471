import { kindsWith, type MessageKind } from '../../core/message-kinds.js';

/** Builds the SQL list of kinds that `IN` expects. */
function listSql(kinds: readonly MessageKind[]): string {
  return `(${kinds.map((kind) => `'${kind}'`).join(', ')})`;
}

/** Kinds of messages that move to the continuation when a run is continued. */
export const MOVES_ON = listSql(kindsWith({ movesOn: true }));

/** Kinds of messages that a failed run keeps for a retry. */
export const KEPT_BY_FAILED = listSql(kindsWith({ isKeptOnFailure: true }));

/**
 * Kinds of messages that a run holds only up to a limit. `workflow_inbox_other_idx` contains the
 * messages of all other kinds. Statements that use this index repeat the index's condition, with
 * this list.
 */
export const LIMITED = listSql(kindsWith({ reading: 'limited' }));

/** Kinds of messages about the end of a child run. */
export const CHILD_ENDS = listSql(kindsWith({ channel: 'child' }));

/** Kinds of messages that a worker reads when they are new: ends of children, and events. */
export const READ_ONCE = listSql(kindsWith({ reading: 'once' }));

/** Kinds of requests, which a worker reads each time. */
export const REQUESTS = listSql(kindsWith({ reading: 'always' }));

/** Kinds of requests other than the request to cancel, which has a sweep of its own. */
export const CONTROL_REQUESTS = listSql(kindsWith({ reading: 'always' }).filter((kind) => kind !== 'cancel'));

/** SQL for the channel of a row of the inbox that contains a signal or a hook payload. */
export const LIMITED_CHANNEL = `kind || ':' || name`;
