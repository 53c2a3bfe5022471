import type { EventDescription, EventFilter } from '../../client/events.js';
import type { Action, CommandContext } from '../action.js';
import { usageError } from '../errors.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { timeOf } from '../filters.js';
import { valueLine, type Printer } from '../printer.js';
import { shortTime } from '../times.js';

/** Lists emitted events, or dispatches one again. */
export const events: Action = async (context) => {
  const [action, event, id] = context.given.positionals;
  if (action === undefined) return list(context);
  if (action !== 'redeliver') throw usageError(`ACTION must be redeliver, not ${JSON.stringify(action)}`);
  if (event === undefined || id === undefined) throw usageError('redeliver needs EVENT and ID: the name and the id of the event');
  const { client } = await context.connect();
  await client.events.redeliver(event, id);
  await context.printer.result(`Event "${event}" with the id "${id}" is dispatched again.`, { event, id });
  return EXIT.ok;
};

async function list({ given, printer, connect }: CommandContext): Promise<ExitCode> {
  const limit = given.number('limit');
  const { client, clock } = await connect();
  const filter: EventFilter = limit === undefined ? {} : { limit };
  for (const option of ['event', 'key', 'id', 'cursor'] as const) {
    const text = given.text(option);
    if (text !== undefined) filter[option] = text;
  }
  for (const [key, option] of [
    ['emittedAfter', 'emitted-after'],
    ['emittedBefore', 'emitted-before'],
  ] as const) {
    const time = timeOf(given, option, clock.now());
    if (time !== undefined) filter[key] = time;
  }
  const page = await client.events.list(filter);
  const shown = given.has('payloads') ? page.events : page.events.map(({ payload: _, ...event }) => event);
  if (printer.isJson) {
    await printer.document({ ...page, events: shown });
    return EXIT.ok;
  }
  if (page.events.length === 0) printer.note('no event was found');
  else await printTable(printer, page.events, given.has('payloads'));
  if (page.cursor !== undefined) printer.note(`more events: add --cursor ${page.cursor}`);
  return EXIT.ok;
}

async function printTable(printer: Printer, found: readonly EventDescription[], hasPayloads: boolean): Promise<void> {
  const rows = found.map(({ name, id, key, emittedAt, dispatchedAt, payload }) => [
    name,
    id,
    key ?? '-',
    shortTime(emittedAt),
    dispatchedAt ? shortTime(dispatchedAt) : 'not yet',
    ...(hasPayloads ? [valueLine(payload)] : []),
  ]);
  await printer.table(['EVENT', 'ID', 'KEY', 'EMITTED', 'DISPATCHED', ...(hasPayloads ? ['PAYLOAD'] : [])], rows);
}
