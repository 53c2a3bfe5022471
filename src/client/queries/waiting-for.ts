import { toDate } from '../../core/duration.js';
import { dispatchLabel, servedHint } from '../../core/served.js';
import type { QueueLimitName } from '../../core/queue-limits.js';
import type { RunDescriptionRow } from '../../store/sql/read-runs.js';

/** Something that a run waits for. */
export interface WaitingFor {
  /**
   * Kind of the wait. Besides the kinds that `WaitDescription` explains:
   *
   * `place`: the queue of the run must admit the run, because the queue has a limit or is paused.
   * `worker`: a process that executes the workflow must claim the run, or take it over from a dead
   * process. `start`: the run was started with a delay. `batch`: the run is a member of a batch,
   * which has not ended. `deployment`: a deployment whose code
   * matches the run's history is needed. `resume`: an operator must resume the run. The run is then
   * paused, or blocked by something other than its code. `step`: the body of a step has been
   * executing for a second or two. `compensation`: the run is compensating, that is, it undoes its
   * steps before it ends. `code`: the run is executing, and no step or wait of the run is known: it
   * executes short steps, or awaits something that is not a step.
   */
  kind:
    | 'place'
    | 'worker'
    | 'start'
    | 'batch'
    | 'deployment'
    | 'resume'
    | 'step'
    | 'compensation'
    | 'code'
    | 'sleep'
    | 'retry'
    | 'signal'
    | 'hook'
    | 'child'
    | 'event'
    | 'grace';
  /**
   * Name of what the run waits for: the name of a signal or an event, the id of a child run or a
   * batch, the first characters of a hook's token, a step key, a workflow, a deployment, or the
   * operator who has paused the run.
   */
  name: string | undefined;
  /**
   * Queue that must admit the run, or from which a worker must claim the run. Undefined for all
   * kinds but `place` and `worker`.
   */
  queue: string | undefined;
  /** Key of the run within its queue. Absent for all kinds but `place`, and without a key. */
  key?: string;
  /** Limit of the queue that admits no further run now. Absent for all kinds but `place`. */
  limit?: QueueLimitName;
  /**
   * Number of runs with the same key that the queue admits before this run, counted up to 1,000.
   * Absent for all kinds but `place`.
   */
  position?: number;
  /** Moment at which the wait began, if known. */
  since: Date | undefined;
  /** Moment at which the wait ends even if its event does not happen. */
  until: Date | undefined;
  /** Description of the wait as a text, for people and logs. */
  text: string;
}

/** Maximum number of deployments that a text names. */
const MAX_DEPLOYMENTS = 5;

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

type Row = Pick<
  RunDescriptionRow,
  | 'id'
  | 'status'
  | 'name'
  | 'version'
  | 'queue'
  | 'waits'
  | 'compensatingSince'
  | 'isServed'
  | 'served'
  | 'readyAt'
  | 'createdAt'
  | 'startedAt'
  | 'wakeAt'
  | 'isOverdue'
  | 'queueWait'
  | 'pausedAt'
  | 'pausedBy'
  | 'isBlocked'
  | 'batchId'
  | 'blockedAt'
  | 'blockedReason'
  | 'blockedDeployments'
  | 'worker'
>;

/** @internal */
export function waitingForOf(row: Row): WaitingFor[] {
  const { status, worker } = row;
  const undoing = row.compensatingSince === null ? [] : [compensationOf(row)];
  if (status === 'pending') return [workerOf(row), ...undoing];
  if (status !== 'waiting' && status !== 'running' && status !== 'paused') return [];
  const bodies = bodiesOf(row);
  // A wait for the next attempt stays open while the attempt is executing. In this time the body is
  // listed instead of the wait.
  const open = effectiveWaitsOf(row).filter(({ kind, stepKey }) => kind !== 'retry' || bodies.every((body) => body.stepKey !== stepKey));
  const waits = [...open.map(waitOf), ...bodies.map(bodyWaitOf)];
  const first = [
    ...(row.queueWait ? [placeOf(row, row.queueWait)] : []),
    ...(status === 'paused' ? [resumeOf(row)] : []),
    ...(row.isBlocked ? [unblockingOf(row)] : []),
    ...(row.isOverdue && !row.isServed ? [wakingOf(row)] : []),
    ...(status === 'running' && (!worker || worker.isExpired) ? [takeoverOf(row)] : []),
    ...(status === 'waiting' && row.startedAt === null && !row.isOverdue && !row.isBlocked && !row.queueWait
      ? [row.batchId === null ? startOf(row) : batchOf(row, row.batchId)]
      : []),
  ];
  const all = [...first, ...undoing, ...waits];
  return all.length === 0 && status === 'running' && worker ? [codeOf(row, worker)] : all;
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
  return { kind: 'step', name: stepKey, queue: undefined, since, until: undefined, text };
}

/**
 * Returns the open waits of a run. Once the run is compensating, waits of its code have no effect,
 * and only waits for the next attempt of a compensation count.
 *
 * @internal
 */
export function effectiveWaitsOf({ waits, compensatingSince }: Pick<Row, 'waits' | 'compensatingSince'>): Row['waits'] {
  return compensatingSince === null ? waits : waits.filter(({ kind }) => kind === 'retry');
}

function compensationOf({ compensatingSince }: Row): WaitingFor {
  const since = toDate(compensatingSince);
  const text = 'for its compensations to end: it is compensating, that is, undoing its steps';
  return { kind: 'compensation', name: undefined, queue: undefined, since, until: undefined, text };
}

function workerOf(row: Row): WaitingFor {
  const { name, queue, isServed, readyAt } = row;
  const text = isServed
    ? `for a free slot of a worker that executes ${dispatchLabel(row)}`
    : `for a process that executes ${nobodyServes(row)}`;
  return { kind: 'worker', name, queue, since: toDate(readyAt), until: undefined, text };
}

/** Says which limit of its queue keeps a run from beginning. */
function placeOf({ queue, readyAt }: Row, { key, limit, position }: NonNullable<Row['queueWait']>): WaitingFor {
  const ofKey = key === null ? '' : ` for key "${key}"`;
  const reason = limit === 'paused' ? 'to be resumed' : `to have a place: its limit "${limit}" admits no more runs now`;
  const text = `for queue "${queue}"${ofKey} ${reason} (${position} before it)`;
  return {
    kind: 'place',
    name: queue,
    queue,
    since: toDate(readyAt),
    until: undefined,
    text,
    ...(key === null ? {} : { key }),
    limit,
    position,
  };
}

/** Says that the time of a waiting run has come, and that no process is there to wake it. */
function wakingOf(row: Row): WaitingFor {
  const { name, queue, wakeAt } = row;
  const text = `for a process that executes it, because its time has come: ${nobodyServes(row)}`;
  return { kind: 'worker', name, queue, since: toDate(wakeAt), until: undefined, text };
}

/** Describes the lack of a worker: `"order" version 1 in queue "default": no worker is alive`. */
function nobodyServes(row: Row): string {
  const hint = servedHint(row, row.served);
  const nobody = row.served.length === 0 ? 'no worker is alive' : 'no live worker executes it';
  return `${dispatchLabel(row)}: ${nobody}${hint === undefined ? '' : `; ${hint.reason}`}`;
}

function takeoverOf({ name, queue, worker }: Row): WaitingFor {
  const text = worker
    ? `for its worker (host "${worker.host}", process ${worker.pid}), which sends no heartbeat, or for another one to take the run over`
    : 'for a worker to take it over: the one that executed it is gone';
  return { kind: 'worker', name, queue, since: undefined, until: undefined, text };
}

function startOf({ name, createdAt, wakeAt }: Row): WaitingFor {
  const until = toDate(wakeAt);
  const text = `for its start${until === undefined ? '' : ` at ${until.toISOString()}`}`;
  return { kind: 'start', name, queue: undefined, since: toDate(createdAt), until, text };
}

function batchOf({ createdAt }: Row, batchId: string): WaitingFor {
  const text = `for the end of its batch, which run "${batchId}" executes`;
  return { kind: 'batch', name: batchId, queue: undefined, since: toDate(createdAt), until: undefined, text };
}

function codeOf({ name }: Row, { host, pid }: { readonly host: string; readonly pid: number }): WaitingFor {
  const text = `for its code, which host "${host}", process ${pid} executes: no wait is open, and no step body has been running for more than a second or two`;
  return { kind: 'code', name, queue: undefined, since: undefined, until: undefined, text };
}

function resumeOf({ pausedAt, pausedBy }: Row): WaitingFor {
  const { actor } = JSON.parse(pausedBy ?? '{}') as { actor?: unknown };
  const since = toDate(pausedAt);
  const name = typeof actor === 'string' ? actor : undefined;
  const paused = name === undefined ? 'it is paused' : `"${name}" has paused it`;
  const text = `for somebody to resume it: ${paused}${since === undefined ? '' : ` since ${since.toISOString()}`}`;
  return { kind: 'resume', name, queue: undefined, since, until: undefined, text };
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
  return { kind: 'resume', name: undefined, queue: undefined, since: toDate(row.blockedAt), until: undefined, text };
}

function deploymentOf({ blockedDeployments, blockedAt }: Row): WaitingFor {
  const name = blockedDeployments.at(-1);
  const shown = blockedDeployments.slice(-MAX_DEPLOYMENTS).map((each) => `"${each}"`);
  const others = blockedDeployments.length > shown.length ? ` and ${blockedDeployments.length - shown.length} earlier ones` : '';
  const tried = shown.length === 1 ? `deployment ${shown[0]} does` : `deployments ${shown.join(', ')}${others} does`;
  const text = `for another deployment: the code of ${tried} not fit the run's history; describe().blocked says why`;
  return { kind: 'deployment', name, queue: undefined, since: toDate(blockedAt), until: undefined, text };
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
    event: `for event "${name}"${end}`,
    grace: `for its clean-up to end${end}`,
  };
  return {
    kind,
    name: (kind === 'sleep' || kind === 'retry' ? stepKey : shown) ?? undefined,
    queue: undefined,
    since: toDate(openedAt),
    until,
    text: texts[kind],
  };
}
