import { performance } from 'node:perf_hooks';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { Database } from '../../store/database.js';
import { DirectConnection } from '../../store/direct-connection.js';
import { assertSupported } from '../../store/server-check.js';
import { hasOwnSettings, isInRecovery, readClock } from '../../store/sql/connection-probes.js';
import { readServer } from '../../store/sql/inspect-server.js';
import { duration } from '../times.js';
import type { Connection } from '../connection.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

/** Difference of the clocks, in milliseconds, from which log lines are hard to compare. */
const MAX_SKEW_MS = 2_000;
const CLOCK_SAMPLES = 3;

/** Checks of the server and of the way to it. */
export const serverChecks: readonly Check[] = [
  { subject: 'the server', needsSchema: false, run: checkServer },
  { subject: 'the clocks', needsSchema: false, run: checkClocks },
  { subject: 'poolers', needsSchema: false, run: checkPooler },
  { subject: 'notifications', needsSchema: false, run: checkNotifications },
];

async function checkServer({ database }: Connection): Promise<Finding[]> {
  const server = await readServer(database);
  const findings: Finding[] = [];
  try {
    assertSupported(server);
    findings.push(ok('SERVER_SUPPORTED', `PostgreSQL ${server.version}, database "${server.database}" in ${server.encoding}.`));
  } catch (thrown) {
    if (!(thrown instanceof WorkflowConfigurationError)) throw thrown;
    findings.push(error('SERVER_UNSUPPORTED', `${thrown.message}.`, 'Use a server and a database that the module supports.'));
  }
  if (await isInRecovery(database)) {
    findings.push(error('STANDBY', 'The server is a standby, which takes no writes.', 'Name the primary in the URL of the application.'));
  }
  return findings;
}

async function checkClocks({ database }: Connection): Promise<Finding[]> {
  let best = { offset: 0, roundTrip: Number.POSITIVE_INFINITY };
  for (let sample = 0; sample < CLOCK_SAMPLES; sample++) {
    const [sentAt, local] = [performance.now(), Date.now()];
    const server = await readClock(database);
    const roundTrip = performance.now() - sentAt;
    if (roundTrip < best.roundTrip) best = { offset: server - (local + roundTrip / 2), roundTrip };
  }
  const { offset, roundTrip } = best;
  if (Math.abs(offset) - roundTrip / 2 <= MAX_SKEW_MS) {
    return [
      ok(
        'CLOCKS_AGREE',
        `The clocks of this host and of the server differ by ${duration(Math.abs(offset))}; a round trip takes ${duration(roundTrip)}.`,
      ),
    ];
  }
  const text = `The clock of this host is ${duration(Math.abs(offset))} ${offset > 0 ? 'behind' : 'ahead of'} the server's clock.`;
  return [warn('CLOCKS_DIFFER', text, 'Runs follow the clock of the server. Synchronise both clocks (NTP), so that logs can be compared.')];
}

const BEHIND_POOLER =
  "Set pooler: 'transaction' and listen: { url } with an address past the pooler in the application: see docs/pgbouncer.md.";

async function checkPooler({ settings }: Connection, schema: string): Promise<Finding[]> {
  const plain = new Database(settings, { schema, poolSize: 1 });
  const pooled = warn('POOLER', 'A pooler that keeps no settings (PgBouncer?) is in front of the server.', BEHIND_POOLER);
  try {
    const keeps = await hasOwnSettings(plain);
    return [keeps ? ok('NO_POOLER', 'Connections keep their settings: no transaction pooler is in front of the server.') : pooled];
  } catch (thrown) {
    if (/unsupported startup parameter/.test((thrown as Error).message)) return [pooled];
    throw thrown;
  } finally {
    await plain.close();
  }
}

async function checkNotifications({ database }: Connection): Promise<Finding[]> {
  const ignore = (): void => undefined;
  const direct = new DirectConnection(database, {
    noticed: ignore,
    lost: async () => undefined,
    connected: ignore,
    receivesNothing: ignore,
    unreachable: ignore,
    failed: ignore,
  });
  try {
    await direct.start();
    if (direct.isConnected) return [ok('LISTEN_WORKS', 'LISTEN and NOTIFY work.')];
    const reason = direct.error === undefined ? '' : `: ${direct.error.message}`;
    const text = `Notifications do not arrive${reason}. Workers find due runs by polling, up to a second later.`;
    return [warn('LISTEN_FAILS', text, 'Give the application a direct connection: listen: { url } with an address past the pooler.')];
  } finally {
    await direct.stop();
  }
}
