import type { FailureGroup, FailureGrouping } from '../../client/queries/listing.js';
import type { WorkflowHealth } from '../../client/queries/health.js';
import { defaultWorldSchema } from '../../client/queries/world-runs.js';
import { countOwnedRuns } from '../../store/sql/count-owned-runs.js';
import { listSessions } from '../../store/sql/health.js';
import { readWorkflowRates, RATED_RUNS, sinceFailures, type WorkflowRate } from '../../store/sql/recent-runs.js';
import { hasWorldRuns } from '../../store/sql/world-runs.js';
import { checkNames, numberOf, timeOf } from './parameters.js';
import type { Route } from './route.js';
import { shownError, type ShownError } from './shown.js';

/** Facts about the module and the user that the page needs first. */
export interface Overview {
  /** Name of the module; undefined for the module without a name. */
  readonly module: string | undefined;
  /** Name with which changes by this user are recorded. */
  readonly actor: string | undefined;
  readonly isReadOnly: boolean;
  readonly showsPayloads: boolean;
  /** True when the database has runs of the Workflow DevKit that this application may read. */
  readonly hasWorld: boolean;
  /** Time of the database's clock. */
  readonly now: Date;
}

/** A workflow and its runs of the last hour. */
export interface ShownWorkflow extends Omit<WorkflowRate, 'lastAt'> {
  readonly lastAt: Date | undefined;
  /** Number of processes that execute this version. */
  readonly workers: number;
}

export interface WorkflowList {
  readonly workflows: readonly ShownWorkflow[];
  /** False when more than `read` runs were created in the last hour, and only the newest count. */
  readonly isComplete: boolean;
  readonly read: number;
}

/** Failed runs in groups. */
export interface ShownFailures {
  /** Time since which failures were grouped: later than asked for when there are too many. */
  readonly since: Date;
  readonly groups: readonly FailureGroup[];
  /** False when only the newest `read` failures were grouped. */
  readonly isComplete: boolean;
  readonly read: number;
}

/** A process that executes runs. */
export interface ShownWorker {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly deploymentId: string;
  readonly startedAt: Date;
  readonly heartbeatAt: Date;
  readonly isExpired: boolean;
  /** Number of runs that the process owns now. */
  readonly runs: number;
  readonly serves: readonly { readonly queue: string; readonly name: string; readonly version: number }[];
}

type Shown<T> = T extends Error
  ? ShownError
  : T extends Date
    ? Date
    : T extends readonly (infer Member)[]
      ? Shown<Member>[]
      : T extends object
        ? { [Key in keyof T]: Shown<T[Key]> }
        : T;

/** Health of the module, with errors as objects. */
export type ShownHealth = Shown<WorkflowHealth>;

/** Number of the newest failed runs that are grouped. */
const GROUPED_RUNS = 30_000;

const DAY_MS = 86_400_000;

export const overviewRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'overview',
    summary: 'Returns facts about the module, and the name with which changes are recorded.',
    answer: async ({ module, actor, isReadOnly, showsPayloads, database, now }): Promise<Overview> => ({
      module,
      actor,
      isReadOnly,
      showsPayloads,
      hasWorld: await hasWorldRuns(database, defaultWorldSchema()),
      now: new Date(now()),
    }),
  },
  {
    method: 'GET',
    path: 'workflows',
    summary: 'Lists workflows and versions, with starts, ends and durations of the last hour.',
    answer: async ({ reader, database }): Promise<WorkflowList> => {
      const [{ rates, isComplete }, sessions] = await Promise.all([readWorkflowRates(reader), listSessions(database)]);
      const workers = new Map<string, number>();
      for (const { serves, isExpired } of sessions) {
        const kinds = isExpired ? [] : serves.map((text) => kindText(...keyOf(text)));
        for (const kind of new Set(kinds)) workers.set(kind, (workers.get(kind) ?? 0) + 1);
      }
      const active = rates.map(({ lastAt, ...rate }) => {
        const kind = kindText('', rate.name, rate.version);
        const count = workers.get(kind) ?? 0;
        workers.delete(kind);
        return { ...rate, lastAt: new Date(lastAt), workers: count };
      });
      const idle = [...workers].flatMap(([kind, count]) => {
        const [name = '', version = '0'] = kind.split('\n');
        return version === '0' ? [] : [{ ...NO_RUNS, name, version: Number(version), workers: count }];
      });
      return { workflows: [...active, ...idle], isComplete, read: RATED_RUNS };
    },
  },
  {
    method: 'GET',
    path: 'failures',
    summary: 'Groups failed runs, at most the newest 30,000.',
    query: {
      since: 'Time, or a duration before now such as 2h. (default: 24h)',
      by: 'Property of the groups: workflow, version, errorCode, failedStep, hour. May be repeated. (default: workflow, errorCode, failedStep)',
      limit: 'Most groups, from 1 to 1,000. (default: 50)',
    },
    answer: async ({ query, queries, reader, now }): Promise<ShownFailures> => {
      checkNames(query, ['since', 'by', 'limit']);
      const text = query.get('since');
      const asked = text === null ? now() - DAY_MS : timeOf(text, 'since', now()).getTime();
      const by = query.getAll('by') as FailureGrouping[];
      const groupBy = by.length === 0 ? (['workflow', 'errorCode', 'failedStep'] as const) : by;
      const since = await sinceFailures(reader, asked, GROUPED_RUNS);
      const groups = await queries.failures({ since: new Date(since), groupBy, limit: numberOf(query, 'limit') });
      return { since: new Date(since), groups, isComplete: since === asked, read: GROUPED_RUNS };
    },
  },
  {
    method: 'GET',
    path: 'workers',
    summary: 'Lists the processes that execute runs.',
    answer: async ({ database }): Promise<{ workers: ShownWorker[] }> => {
      const [sessions, owned] = await Promise.all([listSessions(database), countOwnedRuns(database)]);
      const workers = sessions.map(({ serves, startedAt, heartbeatAt, ...session }) => ({
        ...session,
        startedAt: new Date(startedAt),
        heartbeatAt: new Date(heartbeatAt),
        runs: owned.get(session.id) ?? 0,
        serves: serves.map(keyOf).map(([queue, name, version]) => ({ queue, name, version })),
      }));
      return { workers };
    },
  },
  {
    method: 'GET',
    path: 'health',
    summary: 'Returns the health of the module, as the process sees it that answers.',
    answer: async ({ queries }): Promise<ShownHealth> => withShownErrors(await queries.health()) as ShownHealth,
  },
];

const NO_RUNS = { started: 0, completed: 0, failed: 0, cancelled: 0, p50Ms: null, p95Ms: null, lastAt: undefined, parts: [] };

/** Splits a dispatch key, as `dispatchKeyText` formats it. */
function keyOf(text: string): [queue: string, name: string, version: number] {
  const [queue = '', name = '', version = '0'] = text.split('\n');
  return [queue, name, Number(version)];
}

function kindText(_queue: string, name: string, version: number): string {
  return `${name}\n${version}`;
}

function withShownErrors(value: unknown): unknown {
  if (value instanceof Error) return shownError(value);
  if (value instanceof Date || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withShownErrors);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withShownErrors(each)]));
}
