import { listSessions } from '../../store/sql/health.js';
import { countOwnedRuns } from '../../store/sql/count-owned-runs.js';
import { EXIT } from '../exit-codes.js';
import type { Action } from '../action.js';
import { shortTime, sinceOf } from '../times.js';

/** Lists the sessions of workers, and what each of them serves. */
export const workers: Action = async ({ printer, connect }) => {
  const { database, clock } = await connect();
  const sessions = await listSessions(database);
  const owned = await countOwnedRuns(database);
  const shown = sessions.map(({ serves, startedAt, heartbeatAt, ...session }) => ({
    ...session,
    startedAt: new Date(startedAt),
    heartbeatAt: new Date(heartbeatAt),
    runs: owned.get(session.id) ?? 0,
    serves: serves.map((text) => {
      const [queue = '', name = '', version = ''] = text.split('\n');
      return { queue, name, version: Number(version) };
    }),
  }));
  if (printer.isJson) {
    await printer.document({ workers: shown });
    return EXIT.ok;
  }
  if (shown.length === 0) printer.note('no process executes runs');
  const now = clock.now();
  for (const { id, host, pid, deploymentId, isExpired, startedAt, heartbeatAt, runs, serves } of shown) {
    const state = isExpired ? (['expired: others take over its runs', 'red'] as const) : (['alive', 'green'] as const);
    await printer.line([`${host} process ${pid}`, 'bold'], '  ', state);
    await printer.line(`  session     ${id}`);
    await printer.line(`  deployment  ${deploymentId}`);
    await printer.line(`  started     ${shortTime(startedAt)}, heartbeat ${sinceOf(heartbeatAt, now)} ago`);
    await printer.line(`  runs        ${runs}`);
    for (const queue of new Set(serves.map((key) => key.queue))) {
      const names = serves.filter((key) => key.queue === queue && key.version !== 0).map(({ name, version }) => `${name} v${version}`);
      await printer.line(`  serves      ${names.join(', ')} from queue "${queue}"`);
    }
  }
  return EXIT.ok;
};
