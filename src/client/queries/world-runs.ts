import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { Database } from '../../store/database.js';
import { checkSchemaName } from '../../store/schema.js';
import { listWorldRuns } from '../../store/sql/world-runs.js';

const MAX_LIMIT = 1_000;
const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled'] as const;

/** Returns the schema of a World when none is named. */
export function defaultWorldSchema(): string {
  return process.env.DURABLE_WORLD_SCHEMA || 'durable_world';
}

/** Filter and page of `client.world.list`. */
export interface WorldListOptions {
  /** Schema of the World. (default: the variable `DURABLE_WORLD_SCHEMA`, or `'durable_world'`) */
  schema?: string;
  /** Name of a workflow of the kit. (default: all) */
  workflowName?: string;
  /** Status of the runs. (default: all) */
  status?: (typeof STATUSES)[number];
  /** Maximum number of runs, at most 1000. (default: `50`) */
  limit?: number;
  /** Cursor of the page before. (default: the newest runs) */
  cursor?: string;
}

/** Run of the Workflow DevKit, as `client.world.list` shows it. */
export interface ListedWorldRun {
  readonly runId: string;
  readonly workflowName: string;
  readonly deploymentId: string;
  readonly status: (typeof STATUSES)[number];
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly completedAt: Date | null;
  readonly errorCode: string | null;
}

/** One page of runs of the Workflow DevKit. */
export interface WorldRunPage {
  readonly runs: readonly ListedWorldRun[];
  /** Cursor of the next page; null on the last page. */
  readonly cursor: string | null;
}

/** Reads the runs of a World for the Workflow DevKit in the same database. */
export class WorldRuns {
  /** @internal */
  constructor(private readonly database: Database) {}

  /**
   * Lists runs of the Workflow DevKit, newest first. The list is empty where no World is.
   *
   * @param options filter and page (default: the newest 50 runs)
   * @returns one page of runs
   * @throws InvalidInputError for an invalid option
   * @example const { runs } = await client.world.list({ status: 'failed' });
   */
  async list(options: WorldListOptions = {}): Promise<WorldRunPage> {
    const {
      schema = defaultWorldSchema(),
      workflowName,
      status,
      limit = 50,
      cursor,
    } = checkOptions(options, 'options', ['schema', 'workflowName', 'status', 'limit', 'cursor']);
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
      throw new InvalidInputError('options.limit', `must be an integer from 1 to ${MAX_LIMIT}`);
    if (status !== undefined && !STATUSES.includes(status))
      throw new InvalidInputError('options.status', `must be one of ${STATUSES.join(', ')}`);
    const rows = await listWorldRuns(this.database, {
      schema: checkSchemaName(schema, 'options.schema'),
      workflowName: workflowName === undefined ? undefined : checkText(workflowName, 'options.workflowName'),
      status,
      after: cursor === undefined ? undefined : checkText(cursor, 'options.cursor'),
      limit: limit + 1,
    });
    const shown = rows.slice(0, limit);
    return {
      runs: shown.map(([runId, name, deploymentId, state, created, started, completed, errorCode]) => ({
        runId,
        workflowName: name,
        deploymentId,
        status: state as ListedWorldRun['status'],
        createdAt: new Date(created),
        startedAt: started === null ? null : new Date(started),
        completedAt: completed === null ? null : new Date(completed),
        errorCode,
      })),
      cursor: rows.length > limit ? shown.at(-1)![0] : null,
    };
  }
}
