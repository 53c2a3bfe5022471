import { counted } from '../../core/log-text.js';
import { countBacklogs } from '../../store/sql/health.js';
import { findLateSchedules, findOldSubscriptions, findUndeclaredSchedules } from '../../store/sql/inspect-schedules.js';
import type { Connection } from '../connection.js';
import { duration } from '../times.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

/** Milliseconds for which a due schedule or an event may wait without a finding. */
const LATE_MS = 60_000;

/** Milliseconds without a confirmation after which no process has a subscription any more. */
const OLD_MS = 30 * 60_000;

/** Checks of schedules and of events. */
export const scheduleChecks: readonly Check[] = [
  { subject: 'schedules', needsSchema: true, run: checkSchedules },
  { subject: 'events', needsSchema: true, run: checkEvents },
];

async function checkSchedules({ database }: Connection): Promise<Finding[]> {
  const found = await findLateSchedules(database, LATE_MS);
  const failing = found.filter(({ failures }) => failures > 0);
  const late = found.filter(({ failures }) => failures === 0);
  const undeclared = await findUndeclaredSchedules(database);
  const findings: Finding[] = [];
  if (late.length > 0) {
    const [{ name, workflow, lateMs }] = late as [(typeof late)[number]];
    const text = `${counted(late.length, 'schedule')} overdue, such as "${name}" of workflow "${workflow}" for ${duration(lateMs)}: no process starts the run.`;
    const remedy = 'Start a process that executes runs and has the workflow; for @Schedule, one whose code has the decorator.';
    findings.push(error('SCHEDULES_OVERDUE', text, remedy));
  }
  if (failing.length > 0) {
    const [{ name, lastError }] = failing as [(typeof failing)[number]];
    const text = `${counted(failing.length, 'schedule')} cannot start a run, such as "${name}": ${lastError ?? 'the reason is unknown'}`;
    findings.push(
      warn('SCHEDULES_FAILING', text, 'Remove the reason, or change the schedule: the run is tried again at least once a minute.'),
    );
  }
  if (undeclared.length > 0) {
    const text = `${counted(undeclared.length, 'schedule')} paused, such as "${undeclared[0]}", because no process has its @Schedule any more.`;
    findings.push(warn('SCHEDULES_UNDECLARED', text, 'Restore the decorator, or npx nestjs-durable schedules delete.'));
  }
  return findings.length > 0 ? findings : [ok('SCHEDULES_FINE', 'No schedule is overdue, fails, or has lost its decorator.')];
}

async function checkEvents({ database, clock }: Connection): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { events, oldestEmittedAt } = await countBacklogs(database);
  if (oldestEmittedAt !== null && oldestEmittedAt < clock.now() - LATE_MS) {
    const text = `${counted(events, 'event')} not dispatched, the oldest for ${duration(clock.now() - oldestEmittedAt)}.`;
    findings.push(
      error('EVENTS_UNDISPATCHED', text, 'Start a process that executes runs; if one lives, look for events-not-dispatched in its log.'),
    );
  }
  const old = await findOldSubscriptions(database, OLD_MS);
  if (old.length > 0) {
    const [{ event, workflow }] = old as [(typeof old)[number]];
    const text = `${counted(old.length, 'subscription')} that no process has confirmed for half an hour, such as that of "${workflow}" to "${event}": the runs wait.`;
    const remedy = `Start a process with the workflow. If it is gone for good: DELETE FROM ${database.schema}.workflow_event_subscriptions WHERE workflow = '${workflow.replaceAll("'", "''")}'.`;
    findings.push(warn('SUBSCRIPTIONS_OLD', text, remedy));
  }
  return findings.length > 0 ? findings : [ok('EVENTS_FINE', 'No event waits to be dispatched, and every subscription has a process.')];
}
