import type { HistoryEntry } from '../../client/queries/history.js';
import type { RunDescription } from '../../client/queries/describe.js';
import type { Connection } from '../connection.js';
import { usageError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { errorLine, valueLine, type Printer } from '../printer.js';
import type { Action } from '../action.js';
import { statusSegment } from '../status-style.js';
import { timelineCells } from '../timeline.js';
import { exactTime, sinceOf } from '../times.js';

const DEFAULT_ENTRIES = 1_000;
const MAX_ENTRIES = 100_000;
const PAGE = 1_000;

/** Shows a run: its details, its timeline, what it waits for, its children and its error. */
export const show: Action = async ({ given, printer, connect }) => {
  const [runId = ''] = given.positionals;
  const limit = given.number('limit') ?? DEFAULT_ENTRIES;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_ENTRIES) throw usageError('--limit must be a whole number from 1 to 100,000');
  const connection = await connect();
  const run = await connection.client.describe(runId, { follow: !given.has('exact') });
  const { entries, isComplete } = await timelineOf(connection, printer, run.runId, limit);
  if (printer.isJson) {
    await printer.document(given.has('payloads') ? { run, timeline: entries, isComplete } : withoutPayloads(run, entries, isComplete));
    return EXIT.ok;
  }
  await printHead(printer, run, connection.clock.now());
  if (given.has('payloads')) await printPayloads(printer, run);
  await printer.line();
  await printer.table(['TIME', 'EVENT', 'STEP', 'DETAIL'], entries.map(timelineCells));
  if (!isComplete) printer.note(`the timeline has further entries: add --limit ${Math.min(MAX_ENTRIES, limit * 10)}`);
  return EXIT.ok;
};

async function timelineOf(
  { client }: Connection,
  printer: Printer,
  runId: string,
  limit: number,
): Promise<{ entries: HistoryEntry[]; isComplete: boolean }> {
  const entries: HistoryEntry[] = [];
  let cursor: string | undefined;
  do {
    const size = Math.min(PAGE, limit - entries.length);
    const page = await client.history(runId, { follow: false, limit: size, ...(cursor === undefined ? {} : { cursor }) });
    entries.push(...page.entries);
    cursor = page.cursor;
    if (cursor !== undefined) printer.progress(`${entries.length} entries ...`);
  } while (cursor !== undefined && entries.length < limit);
  return { entries, isComplete: cursor === undefined };
}

async function printHead(printer: Printer, run: RunDescription, now: number): Promise<void> {
  const field = async (name: string, value: string | undefined): Promise<void> => {
    if (value !== undefined) await printer.line([`  ${name.padEnd(14)}`, 'dim'], value);
  };
  const moment = async (name: string, at: Date | undefined): Promise<void> => field(name, at && exactTime(at));
  await printer.line([run.runId, 'bold'], `  ${run.name} v${run.version}  `, statusSegment(run.status, run.blocked !== undefined));
  await field('queue', run.queue);
  await moment('created', run.createdAt);
  await moment('started', run.startedAt);
  await field('ended', run.finishedAt && `${exactTime(run.finishedAt)} after ${sinceOf(run.createdAt, run.finishedAt.getTime())}`);
  await moment('asked to stop', run.cancelRequestedAt);
  await moment('compensating', run.compensatingSince);
  await moment('deadline', run.deadline);
  const tags = Object.entries(run.tags).map(([key, value]) => `${key}=${value}`);
  await field('tags', tags.length === 0 ? undefined : tags.join(', '));
  await field('deployment', run.deploymentId);
  await field('claims', `${run.epoch}${run.generation === 0 ? '' : `, retried ${run.generation} times`}`);
  await field('parent', run.parent && `${run.parent.runId}${run.parent.stepKey === undefined ? '' : `, step ${run.parent.stepKey}`}`);
  await field('schedule', run.schedule && `${run.schedule.name}, due ${exactTime(run.schedule.dueAt)}`);
  await field('continued as', run.continuedAs);
  await field('continues', run.continuedFrom);
  await field('forked from', run.forkedFrom);
  for (const { text, since } of run.waitingFor) {
    await field('waits', `${text}${since === undefined ? '' : `, since ${exactTime(since)} (${sinceOf(since, now)})`}`);
  }
  await field('blocked by', run.blocked?.reason && errorLine(run.blocked.reason));
  for (const { runId, name, status } of run.children) await field('child', `${runId}  ${name}  ${status}`);
  await field('error', run.error && errorLine(run.error));
  await field('caused by', run.error?.cause instanceof Error ? errorLine(run.error.cause) : undefined);
}

async function printPayloads(printer: Printer, { input, output, status, state }: RunDescription): Promise<void> {
  await printer.line(['  input         ', 'dim'], valueLine(input));
  if (status === 'completed') await printer.line(['  output        ', 'dim'], valueLine(output));
  for (const [key, value] of Object.entries(state)) await printer.line([`  state ${key.padEnd(7)} `, 'dim'], valueLine(value));
}

/** Leaves payloads out, so that the output of the command can be pasted into a ticket. */
function withoutPayloads(run: RunDescription, entries: readonly HistoryEntry[], isComplete: boolean): unknown {
  const { input: _input, output: _output, state: _state, ...shown } = run;
  return { run: shown, timeline: entries.map(withoutOutput), isComplete };
}

/** Leaves out the output of an entry, and that of a step which a retry has removed. */
function withoutOutput({ output: _, data, ...entry }: HistoryEntry): unknown {
  if (entry.kind !== 'step_archived') return { ...entry, data };
  const { output: _archived, ...shown } = data ?? {};
  return { ...entry, data: shown };
}
