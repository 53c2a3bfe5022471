import { BackgroundService } from '../../maintenance/background-service.js';
import type { Database, Statement } from '../../store/database.js';

/** Number of active runs that one look reads. */
const PAGE = 1_000;

/**
 * Reads one page of active runs, with whether a run has lost its message: its last event is some
 * time ago, no message is about that event, and no message was made for this place of its history
 * before. A delayed message that is older than the event is not about it: a run that sleeps would
 * otherwise learn of a hook's payload only at the end of the sleep. A run that waits for a hook
 * gets one message too many, and then none.
 */
export const FIND_LOST: Statement = {
  name: 'world_find_lost_runs',
  text: (schema) => `SELECT page.run_id, page.workflow_name, page.last_slot,
  page.deployment_id = $2::text AND page.updated_at < now() - $3::float8 * interval '1 millisecond' AND page.swept_slot IS DISTINCT FROM page.last_slot
    AND NOT EXISTS (SELECT FROM ${schema}.world_messages m WHERE m.run_id = page.run_id
      AND (m.lease IS NOT NULL OR m.due_at <= now() OR m.arranged_at >= page.last_at))
FROM (${activePage(schema, 'pending')} UNION ALL ${activePage(schema, 'running')} ORDER BY run_id LIMIT $4::int) page
ORDER BY page.run_id`,
};

/** Page of the runs of one status, each of which has an index of its own. */
function activePage(schema: string, status: 'pending' | 'running'): string {
  return `(SELECT r.run_id, r.workflow_name, r.last_slot, r.swept_slot, r.deployment_id, r.updated_at, r.last_at
  FROM ${schema}.world_runs r WHERE r.status = '${status}' AND r.run_id > $1::text ORDER BY r.run_id LIMIT $4::int)`;
}

/** Settings of the recovery. */
export interface RecoverySettings {
  readonly deploymentId: string;
  readonly recoverAfterMs: number;
  /** Puts a message for a run into its queue, once for each place of its history. */
  readonly enqueue: (workflowName: string, runId: string, slot: string) => Promise<unknown>;
  readonly warn: (text: string, error: unknown) => void;
}

/**
 * Gives a message to runs that have lost theirs. The runtime writes an event and puts a message
 * into the queue as two calls, and a process may die between the calls.
 */
export class Recovery extends BackgroundService {
  private after = '';
  private isSweeping = false;

  constructor(
    private readonly database: Database,
    private readonly settings: RecoverySettings,
  ) {
    super();
  }

  protected async work(): Promise<number> {
    try {
      return (await this.sweep()) ? 0 : this.settings.recoverAfterMs;
    } catch (error) {
      this.settings.warn('runs of the World without a message cannot be found', error);
      return this.settings.recoverAfterMs;
    }
  }

  /** Reads all pages, for a process without background work. */
  async sweepAll(): Promise<void> {
    this.isSweeping = true;
    try {
      while (await this.sweep());
    } finally {
      this.isSweeping = false;
    }
  }

  /** Reads one page. Returns true when more follow. */
  private async sweep(): Promise<boolean> {
    const { deploymentId, recoverAfterMs, enqueue } = this.settings;
    type Row = [runId: string, workflowName: string, slot: string, isLost: boolean];
    const runs = await this.database.query<Row>(FIND_LOST, [this.after, deploymentId, recoverAfterMs, PAGE]);
    this.after = runs.length === PAGE ? runs.at(-1)![0] : '';
    for (const [runId, workflowName, slot, isLost] of runs) {
      if (!isLost || !(this.isRunning || this.isSweeping)) continue;
      await enqueue(workflowName, runId, slot);
    }
    return runs.length === PAGE;
  }
}
