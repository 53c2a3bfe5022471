import { toDate } from '../../core/duration.js';
import { dispatchLabel, servedHint } from '../../core/served.js';
import type { Payloads } from '../../core/payloads.js';
import type { RunDescriptionRow } from '../../store/sql/read-runs.js';

/** Something that a run waits for. */
export interface WaitingFor {
  /**
   * Kind of the wait. Besides the kinds that `WaitDescription` explains:
   *
   * `worker`: a process that executes the workflow must claim the run. `deployment`: a deployment
   * whose code matches the run's history is needed. `resume`: an operator must resume the run. The
   * run is then paused, or blocked by something other than its code. `step`: the body of a step has
   * been executing for a second or two.
   */
  kind: 'worker' | 'deployment' | 'resume' | 'step' | 'sleep' | 'retry' | 'signal' | 'hook' | 'child' | 'grace';
  /**
   * Name of what the run waits for: a signal's name, a child's run id, the first characters of a
   * hook's token, a step key, a workflow or a deployment.
   */
  name: string | undefined;
  /** Moment at which the wait began, if known. */
  since: Date | undefined;
  /** Moment at which the wait ends even if its event does not happen. */
  until: Date | undefined;
  /** Description of the wait as a text, for people and logs. */
  text: string;
}

/** A step body that is executing. */
export interface BodyDescription {
  /** Key of the step. */
  stepKey: string;
  /** Number of the current attempt. The first one is 1. */
  attempt: number;
  /** Moment at which a worker first reported this body, about a second after it began. */
  since: Date;
  /** Host name of the worker. */
  host: string;
  /** Process id of the worker. */
  pid: number;
}

/** Reason why a run is blocked, and the deployments that were tried. */
export interface BlockedDescription {
  /** Moment at which the run was blocked, if known. */
  since: Date | undefined;
  /**
   * Deployments whose code does not match the run's history, in the order in which they tried to
   * execute the run.
   */
  deployments: string[];
  /**
   * Mismatch that the last deployment found, or the error with which the database refused to record
   * the run's progress.
   */
  reason: Error | undefined;
}

type Row = Pick<
  RunDescriptionRow,
  | 'id'
  | 'status'
  | 'name'
  | 'version'
  | 'queue'
  | 'waits'
  | 'isServed'
  | 'served'
  | 'readyAt'
  | 'isBlocked'
  | 'blockedAt'
  | 'blockedReason'
  | 'blockedDeployments'
  | 'worker'
>;

/** @internal */
export function blockedOf(row: Row, payloads: Payloads): BlockedDescription | undefined {
  if (!row.isBlocked) return undefined;
  const reason = row.blockedReason === null ? undefined : payloads.showError(row.blockedReason);
  return { since: toDate(row.blockedAt), deployments: [...row.blockedDeployments], reason };
}

/** @internal */
export function waitingForOf(row: Row): WaitingFor[] {
  if (row.status === 'pending') return [workerOf(row)];
  if (row.status !== 'waiting' && row.status !== 'running' && row.status !== 'paused') return [];
  const bodies = bodiesOf(row);
  // A wait for the next attempt stays open while the attempt is executing. In this time the body is
  // listed instead of the wait.
  const open = row.waits.filter(({ kind, stepKey }) => kind !== 'retry' || bodies.every((body) => body.stepKey !== stepKey));
  const waits = [...open.map(waitOf), ...bodies.map(bodyWaitOf)];
  if (row.isBlocked) return [unblockingOf(row), ...waits];
  if (row.status !== 'paused') return waits;
  return [
    { kind: 'resume', name: undefined, since: undefined, until: undefined, text: 'for somebody to resume it: it is paused' },
    ...waits,
  ];
}

/** @internal */
export function bodiesOf({ id, worker }: Pick<RunDescriptionRow, 'id' | 'worker'>): BodyDescription[] {
  if (!worker) return [];
  const { host, pid, bodies } = worker;
  const own = (bodies ?? []).filter(({ runId }) => runId === id);
  return own.map(({ stepKey, attempt, since }) => ({ stepKey, attempt, since: new Date(since), host, pid }));
}

function bodyWaitOf({ stepKey, attempt, since, host, pid }: BodyDescription): WaitingFor {
  const text = `for step "${stepKey}", which has been running since ${since.toISOString()} (attempt ${attempt}, host "${host}", process ${pid})`;
  return { kind: 'step', name: stepKey, since, until: undefined, text };
}

function workerOf(row: Row): WaitingFor {
  const { name, isServed, served, readyAt } = row;
  const hint = isServed ? undefined : servedHint(row, served);
  const nobody = served.length === 0 ? 'no worker is alive' : 'no live worker executes it';
  const text = isServed
    ? `for a free slot of a worker that executes ${dispatchLabel(row)}`
    : `for a process that executes ${dispatchLabel(row)}: ${nobody}${hint === undefined ? '' : `; ${hint.reason}`}`;
  return { kind: 'worker', name, since: toDate(readyAt), until: undefined, text };
}

/**
 * Remedies for blocked runs, by error code. Contains only causes that a new deployment does not
 * remove.
 */
const REMEDIES: Readonly<Record<string, string>> = {
  STEP_NOT_RECORDED: 'the database refuses to record a step of it. Remove what refuses',
  RUN_NOT_RECORDED: 'the database refuses to record its progress. Remove what refuses',
  HISTORY_TOO_LARGE: 'its history does not fit the heap of the process. Give the process a larger one',
};

function unblockingOf(row: Row): WaitingFor {
  const { code } = JSON.parse(row.blockedReason ?? '{}') as { code?: string };
  const remedy = code === undefined ? undefined : REMEDIES[code];
  if (remedy === undefined) return deploymentOf(row);
  const text = `for somebody to resume it: it is blocked, because ${remedy}, then call resume(); describe().blocked says why`;
  return { kind: 'resume', name: undefined, since: toDate(row.blockedAt), until: undefined, text };
}

function deploymentOf({ blockedDeployments, blockedAt }: Row): WaitingFor {
  const name = blockedDeployments.at(-1);
  const text = `for another deployment: the code of deployment "${name}" does not fit the run's history; describe().blocked says why`;
  return { kind: 'deployment', name, since: toDate(blockedAt), until: undefined, text };
}

function waitOf({ kind, name, stepKey, wakeAt, openedAt, attempts }: Row['waits'][number]): WaitingFor {
  const until = toDate(wakeAt);
  const shown = kind === 'hook' ? name?.slice(0, 8) : name;
  const end = until === undefined ? '' : ` until ${until.toISOString()}`;
  const texts: Record<typeof kind, string> = {
    sleep: `for a time: "${stepKey}"${end}`,
    retry: `for the next attempt of step "${stepKey}" (failed so far: ${attempts})${until === undefined ? '' : ` at ${until.toISOString()}`}`,
    signal: `for signal "${name}"${end}`,
    hook: `for a call of the hook of step "${stepKey}" (its token begins with "${shown}")${end}`,
    child: `for child run "${name}"${end}`,
    grace: `for its clean-up to end${end}`,
  };
  return {
    kind,
    name: (kind === 'sleep' || kind === 'retry' ? stepKey : shown) ?? undefined,
    since: toDate(openedAt),
    until,
    text: texts[kind],
  };
}
