import { counted } from '../../core/log-text.js';
import { dispatchKeyText } from '../../core/run.js';
import { dispatchLabel, servedHint } from '../../core/served.js';
import { isSameHome } from '../../host/home-check.js';
import { findBlockedRuns, findDueRuns, findSuspects, listSessions, type SessionRow } from '../../store/sql/health.js';
import { hasUnfinishedRuns, readHome } from '../../store/sql/home.js';
import {
  countOverdue,
  countOversleeping,
  countOwnerless,
  findStalledOperations,
  RUNS_COUNTED,
  type StuckRuns,
} from '../../store/sql/inspect-runs.js';
import type { Connection } from '../connection.js';
import { duration } from '../times.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

/** Milliseconds for which a due run may wait for a claim without a finding. */
const LATE_MS = 60_000;

/** Milliseconds without a heartbeat after which a session should have been taken over. */
const DEAD_MS = 10 * 60_000;

/** Checks of runs that do not get on. */
export const runChecks: readonly Check[] = [
  { subject: 'workers', needsSchema: true, run: checkSessions },
  { subject: 'due runs', needsSchema: true, run: checkDueRuns },
  { subject: 'running and waiting runs', needsSchema: true, run: checkStuckRuns },
  { subject: 'blocked runs', needsSchema: true, run: checkBlockedRuns },
  { subject: 'bulk operations', needsSchema: true, run: checkOperations },
  { subject: 'the home of the database', needsSchema: true, run: checkHome },
];

async function checkSessions({ database, clock }: Connection): Promise<Finding[]> {
  const sessions = await listSessions(database);
  const dead = sessions.filter(({ isExpired, heartbeatAt }) => isExpired && heartbeatAt < clock.now() - DEAD_MS);
  if (dead.length > 0) {
    const [{ host, pid }] = dead as [SessionRow];
    const text = `${counted(dead.length, 'session')} expired long ago, such as that of process ${pid} on "${host}": nobody has taken over the runs.`;
    return [error('SESSIONS_DEAD', text, 'Start a process that executes runs: it takes over within a second.')];
  }
  const alive = sessions.filter(({ isExpired }) => !isExpired).length;
  return [ok('SESSIONS_FINE', `${alive} ${alive === 1 ? 'process executes' : 'processes execute'} runs.`)];
}

async function checkDueRuns({ database, clock }: Connection): Promise<Finding[]> {
  const alive = (await listSessions(database)).filter(({ isExpired }) => !isExpired);
  const served = new Set(alive.flatMap(({ serves }) => serves));
  const due = await findDueRuns(database);
  const late = due.filter(({ oldestDueAt }) => oldestDueAt < clock.now() - LATE_MS);
  if (late.length === 0) {
    const count = due.reduce((sum, kind) => sum + kind.due, 0);
    return [ok('DUE_RUNS_CLAIMED', `${counted(count, 'run')} due, none for more than ${duration(LATE_MS)}.`)];
  }
  return late.map((kind) => {
    const since = duration(clock.now() - kind.oldestDueAt);
    const text = `${counted(kind.due, 'run')} of ${dispatchLabel(kind)} due, the oldest for ${since}`;
    if (alive.length === 0) {
      return error(
        'NO_WORKER',
        `${text}: no process executes runs.`,
        "Start one, or see docs/qstash.md when transport is 'qstash': it does not deliver.",
      );
    }
    if (served.has(dispatchKeyText(kind))) {
      return warn(
        'RUNS_LATE',
        `${text}: the workers that execute it have no free slot, or do not claim.`,
        'Look at npx nestjs-durable workers and at their logs; add processes or slots (worker.concurrency).',
      );
    }
    const hint = servedHint(kind, served);
    const reason = hint === undefined ? '' : ` (${hint.reason})`;
    const remedy = hint?.remedy ?? 'Deploy the workflow, correct its name, version or queue';
    return error(
      'RUNS_UNREGISTERED',
      `${text}: no live worker executes it${reason}.`,
      `${remedy}, or end the runs with npx nestjs-durable terminate.`,
    );
  });
}

async function checkStuckRuns({ database }: Connection): Promise<Finding[]> {
  const findings: Finding[] = [];
  const ownerless = await countOwnerless(database);
  if (ownerless) {
    const text = `${stuck(ownerless)} running, and no session owns it.`;
    findings.push(
      error(
        'RUNS_OWNERLESS',
        text,
        'A worker hands such runs back within seconds; if not, its log says what refuses the change (a trigger, a policy).',
      ),
    );
  }
  const oversleeping = await countOversleeping(database, LATE_MS);
  if (oversleeping) {
    const text = `${stuck(oversleeping)} waiting for a time that has passed.`;
    findings.push(error('RUNS_OVERSLEEPING', text, 'Start a process that executes runs: its timer service wakes them.'));
  }
  const overdue = await countOverdue(database, LATE_MS);
  if (overdue) {
    const text = `${stuck(overdue)} past its deadline.`;
    findings.push(warn('RUNS_OVERDUE', text, 'A sweep of any worker ends such runs: start a process that executes runs.'));
  }
  return findings.length > 0 ? findings : [ok('NO_RUN_STUCK', 'Every running run has an owner, and no wake time or deadline was missed.')];
}

function stuck({ count, exampleRunId }: StuckRuns): string {
  const number = count < RUNS_COUNTED ? counted(count, 'run') : `${RUNS_COUNTED} or more runs`;
  return `${number} (such as "${exampleRunId}") ${count === 1 ? 'is' : 'are'}`;
}

async function checkBlockedRuns({ database }: Connection): Promise<Finding[]> {
  const blocked = (await findBlockedRuns(database)).map((kind) =>
    warn(
      'RUNS_BLOCKED',
      `${counted(kind.blocked, 'run')} of ${dispatchLabel(kind)} blocked: the deployed code does not fit the history, or the database refuses its records.`,
      `npx nestjs-durable show ${kind.exampleRunId} says why. Deploy code that fits, then resume.`,
    ),
  );
  const suspects = (await findSuspects(database)).map((kind) =>
    warn(
      'RUNS_SUSPECT',
      `${counted(kind.suspects, 'run')} of ${dispatchLabel(kind)} due whose workers died ${kind.mostLosses} times.`,
      `Find out what kills the process: npx nestjs-durable show ${kind.exampleRunId}.`,
    ),
  );
  const findings = [...blocked, ...suspects];
  return findings.length > 0 ? findings : [ok('NO_RUN_BLOCKED', 'No run is blocked, and none kills its workers.')];
}

async function checkOperations({ database }: Connection): Promise<Finding[]> {
  const tokens = await findStalledOperations(database, LATE_MS);
  if (tokens.length === 0) return [ok('OPERATIONS_FINE', 'No bulk operation stands still.')];
  return tokens.map((token) =>
    warn(
      'OPERATION_STALLED',
      `The bulk operation ${token} stands still.`,
      'Start a process that executes runs: it continues the operation.',
    ),
  );
}

async function checkHome({ database }: Connection, schema: string): Promise<Finding[]> {
  const { here, recorded } = await readHome(database);
  const fine = ok('HOME_MATCHES', 'The runs belong to this database.');
  if (!recorded || isSameHome(here, recorded) || recorded.environment !== null || !(await hasUnfinishedRuns(database))) return [fine];
  return [
    error(
      'COPY',
      'The database is a copy of the one that its runs belong to: no process executes them here.',
      `If this is the real database now, stop every process on the old one, then DELETE FROM ${schema}.workflow_home. See "Copies of a database" in docs/operations.md.`,
    ),
  ];
}
