import type { QueueDescription } from '../../client/queues.js';
import type { QueueOptions } from '../../core/queue-limits.js';
import type { Action, CommandContext } from '../action.js';
import { auditOf } from '../audit.js';
import type { Connection } from '../connection.js';
import { usageError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { sinceOf } from '../times.js';

const CHANGES = ['pause', 'resume', 'clear', 'limits', 'declared'] as const;

/** Lists queues with their limits and their runs, or changes one queue. */
export const queues: Action = async (context) => {
  const { given, printer, connect } = context;
  const [name] = given.positionals;
  const changes = CHANGES.filter((option) => given.has(option));
  if (changes.length > 1) throw usageError(`give only one of ${CHANGES.map((option) => `--${option}`).join(', ')}`);
  const [change] = changes;
  if (change !== undefined && name === undefined) throw usageError(`--${change} needs the name of a queue`);
  if (change === 'clear' && !given.has('yes')) throw usageError('--clear cancels runs: add --yes');
  const connection = await connect();
  if (change !== undefined) return changeQueue(context, connection, name!, change);
  const { client, clock } = connection;
  const listed = name === undefined ? await client.queues.list() : [await client.queues.get(name)];
  if (printer.isJson) {
    await printer.document({ queues: listed });
    return EXIT.ok;
  }
  if (listed.length === 0) printer.note('no queue has limits');
  for (const queue of listed) {
    const { waiting, places, oldestSince } = queue;
    await printer.line([queue.name, 'bold'], queue.paused ? '  ' : '', ...(queue.paused ? [['paused', 'yellow'] as const] : []));
    await printer.line(`  limits   ${limitsOf(queue)}`);
    await printer.line(`  places   ${places} taken`);
    await printer.line(`  waiting  ${waiting}${oldestSince ? `, the oldest for ${sinceOf(oldestSince, clock.now())}` : ''}`);
  }
  return EXIT.ok;
};

async function changeQueue(
  { given, printer }: CommandContext,
  { client }: Connection,
  name: string,
  change: (typeof CHANGES)[number],
): Promise<typeof EXIT.ok> {
  if (change === 'pause') await client.queues.pause(name);
  else if (change === 'resume') await client.queues.resume(name);
  else if (change === 'declared') await client.queues.configure(name, 'declared');
  else if (change === 'limits') await client.queues.configure(name, parseLimits(given.text('limits')!));
  else {
    const key = given.text('key');
    const cleared = await client.queues.clear(name, { ...auditOf(given), ...(key === undefined ? {} : { key }) });
    await printer.result(`Cancelled the ${cleared} waiting runs of queue "${name}".`, { queue: name, cleared });
    return EXIT.ok;
  }
  const queue = await client.queues.get(name);
  const state = queue.paused ? 'is paused' : 'admits runs';
  await printer.result(`Queue "${name}" ${state}, with the limits ${limitsOf(queue)}.`, { ...queue });
  return EXIT.ok;
}

function limitsOf({ limits, source }: QueueDescription): string {
  if (source === 'none') return 'none';
  return `${JSON.stringify(limits)} (${source === 'override' ? 'stored by configure' : 'from the options'})`;
}

function parseLimits(text: string): QueueOptions {
  try {
    return JSON.parse(text) as QueueOptions;
  } catch {
    throw usageError(`--limits must be JSON such as '{"concurrency":5}', not ${JSON.stringify(text)}`);
  }
}
