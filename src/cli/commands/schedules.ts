import type { ScheduleDescription } from '../../client/schedules/schedule-description.js';
import { counted } from '../../core/log-text.js';
import type { Action, CommandContext } from '../action.js';
import { confirm } from '../confirm.js';
import { usageError } from '../errors.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { timeOf } from '../filters.js';
import type { Segment } from '../printer.js';
import { statusSegment } from '../status-style.js';
import { duration, shortTime } from '../times.js';

type ScheduleAction = (context: CommandContext, name: string) => Promise<ExitCode>;

/** Lists schedules, or executes the action that the first argument names. */
export const schedules: Action = async (context) => {
  const [action, name] = context.given.positionals;
  if (action === undefined) return list(context);
  const execute = ACTIONS[action];
  if (!execute) throw usageError(`ACTION must be one of ${Object.keys(ACTIONS).join(', ')}, not ${JSON.stringify(action)}`);
  if (name === undefined) throw usageError('NAME is missing: the name of a schedule');
  return execute(context, name);
};

const ACTIONS: Readonly<Record<string, ScheduleAction>> = { show, pause, resume, trigger, backfill, delete: deleteSchedule };

async function list({ given, printer, connect }: CommandContext): Promise<ExitCode> {
  const { client } = await connect();
  const [workflow, after, limit] = [given.text('workflow'), given.text('after'), given.number('limit')];
  const options = { ...(workflow === undefined ? {} : { workflow }), ...(after === undefined ? {} : { after }) };
  const found = await client.schedules.list({ ...options, ...(limit === undefined ? {} : { limit }) });
  if (printer.isJson) {
    await printer.document({ schedules: found });
    return EXIT.ok;
  }
  if (found.length === 0) printer.note('no schedule was found');
  else {
    const rows = found.map((schedule) => [
      schedule.name,
      schedule.workflow,
      timesOf(schedule),
      stateOf(schedule),
      schedule.next ? shortTime(schedule.next) : '-',
      schedule.last ? shortTime(schedule.last) : '-',
    ]);
    await printer.table(['NAME', 'WORKFLOW', 'TIMES', 'STATE', 'NEXT', 'LAST'], rows);
  }
  return EXIT.ok;
}

async function show({ given, printer, connect }: CommandContext, name: string): Promise<ExitCode> {
  const { client } = await connect();
  const runs = given.number('limit');
  const schedule = await client.schedules.get(name, runs === undefined ? {} : { runs });
  if (printer.isJson) {
    await printer.document(schedule);
    return EXIT.ok;
  }
  await printer.line([schedule.name, 'bold'], '  ', stateOf(schedule));
  const time = (date: Date | undefined): string => (date ? shortTime(date) : '-');
  await printer.line(`  workflow  ${schedule.workflow}${schedule.declared ? ', declared by @Schedule' : ''}`);
  await printer.line(`  times     ${timesOf(schedule)}`);
  const catchUp = typeof schedule.catchUp === 'string' ? schedule.catchUp : `all, at most ${schedule.catchUp.all}`;
  await printer.line(`  rules     overlap ${schedule.overlap}, catch-up ${catchUp}`);
  await printer.line(`  next      ${time(schedule.next)}, last ${time(schedule.last)}, ${schedule.skipped} skipped`);
  if (schedule.queued) await printer.line(`  queued    the run of ${shortTime(schedule.queued)} waits for the end of other runs`);
  if (schedule.pauseReason !== undefined) await printer.line(`  paused    ${schedule.pauseReason}`);
  if (schedule.pausedUntil) await printer.line(`  until     ${shortTime(schedule.pausedUntil)}`);
  if (schedule.lastError !== undefined) await printer.line(`  error     `, [schedule.lastError, 'red']);
  for (const { runId, status, dueAt } of schedule.runs) await printer.line(`  ${shortTime(dueAt)}  `, statusSegment(status), `  ${runId}`);
  return EXIT.ok;
}

async function pause({ given, printer, connect }: CommandContext, name: string): Promise<ExitCode> {
  const { client, clock } = await connect();
  const until = timeOf(given, 'until', clock.now());
  const reason = given.text('reason');
  const options = { ...(until === undefined ? {} : { until }), ...(reason === undefined ? {} : { reason }) };
  const schedule = await client.schedules.pause(name, options);
  await printer.result(`Paused schedule "${name}"${until ? ` until ${shortTime(until)}` : ''}.`, { ...schedule });
  return EXIT.ok;
}

async function resume({ printer, connect }: CommandContext, name: string): Promise<ExitCode> {
  const { client } = await connect();
  const schedule = await client.schedules.resume(name);
  const next = schedule.next ? `it is due at ${shortTime(schedule.next)}` : 'it is never due again';
  await printer.result(`Resumed schedule "${name}": ${next}.`, { ...schedule });
  return EXIT.ok;
}

async function trigger({ printer, connect }: CommandContext, name: string): Promise<ExitCode> {
  const { client } = await connect();
  const { runId } = await client.schedules.trigger(name);
  await printer.result(`Started run "${runId}".`, { runId });
  return EXIT.ok;
}

async function backfill(context: CommandContext, name: string): Promise<ExitCode> {
  const { given, printer } = context;
  const { client, clock } = await context.connect();
  const from = timeOf(given, 'from', clock.now());
  const to = timeOf(given, 'to', clock.now());
  if (from === undefined) throw usageError('--from is missing: the beginning of the period');
  const period = `from ${shortTime(from)} to ${to ? shortTime(to) : 'now'}`;
  await confirm(context, `This starts a run for each due time of schedule "${name}" ${period} that has no run`);
  const runIds = await client.schedules.backfill(name, to === undefined ? { from } : { from, to });
  await printer.result(`Started ${counted(runIds.length, 'run')}.`, { runIds });
  return EXIT.ok;
}

async function deleteSchedule(context: CommandContext, name: string): Promise<ExitCode> {
  const { client } = await context.connect();
  await confirm(context, `This deletes schedule "${name}". Its runs continue`);
  await client.schedules.delete(name);
  await context.printer.result(`Deleted schedule "${name}".`, { name, isDeleted: true });
  return EXIT.ok;
}

function timesOf({ cron, everyMs, timezone }: ScheduleDescription): string {
  return cron === undefined ? `every ${duration(everyMs!)}` : `${cron} ${timezone}`;
}

function stateOf({ state, lastError }: ScheduleDescription): Segment {
  if (lastError !== undefined) return [`${state}, fails`, 'red'];
  return state === 'active' ? ['active', 'green'] : [state, state === 'paused' ? 'yellow' : 'dim'];
}
