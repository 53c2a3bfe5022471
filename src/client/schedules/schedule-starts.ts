import { newRunId } from '../../core/ids.js';
import type { Payloads } from '../../core/payloads.js';
import type { NewRun } from '../../core/run.js';
import { checkStart, toNewRun, type StartingClient, type StartOptions } from '../start-options.js';
import type { ScheduleRow } from '../../store/schedule-row.js';

/** A run that a schedule starts, and the options of the start. */
export interface ScheduledStart {
  readonly run: NewRun;
  readonly options: StartOptions;
}

/** Parts of a client that make the runs of schedules. */
export interface ScheduleStarting extends StartingClient {
  readonly payloads: Payloads;
  /** Returns the class of a workflow; undefined when this process does not have the class. */
  workflowClass(name: string): Function | undefined;
}

/**
 * Returns the id of the run for a due time. The id contains the due time, so two processes whose
 * time zone data differ, and a repeated backfill, start no second run for it.
 */
export function scheduledRunId(name: string, dueAt: number): string {
  return `${name}@${new Date(dueAt).toISOString()}`;
}

/** Returns the id of a run that a client triggers: unique, and in the order of the other ids. */
export function triggeredRunId(name: string, now: number): string {
  return `${scheduledRunId(name, now)}.${newRunId().slice(-8)}`;
}

/** Makes the run of a schedule in the way in which `client.start` makes runs. */
export function makeStart(client: ScheduleStarting, row: ScheduleRow, id: string, dueAt: number, input: unknown): ScheduledStart {
  const checked = checkStart(client.workflowClass(row.workflow) ?? row.workflow, { id, tags: { ...row.tags } }, client);
  const run = toNewRun(checked, input, client.payloads, 'input');
  return { run: { ...run, schedule: { name: row.name, dueAt } }, options: checked.options };
}

/** Most runs of one schedule that it remembers as not ended. */
const MAX_OPEN_RUNS = 1_000;

/** Adds started runs to a schedule. Schedules whose runs may overlap need not remember them. */
export function withStarted(row: ScheduleRow, active: readonly string[], started: readonly ScheduledStart[]): ScheduleRow {
  const last = started.at(-1)?.run;
  const openRuns = row.overlap === 'allow' ? [] : [...new Set([...active, ...started.map(({ run }) => run.id)])].slice(-MAX_OPEN_RUNS);
  return { ...row, openRuns, ...(last ? { lastRunId: last.id, lastDueAt: last.schedule!.dueAt } : {}) };
}
