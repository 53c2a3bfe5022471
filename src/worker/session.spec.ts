import { Client } from 'pg';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture } from '../../test/support/faults/journal-fixture.js';
import { FaultProxy } from '../../test/support/faults/proxy.js';
import { waitFor } from '../../test/support/wait.js';
import { DatabaseClock } from '../core/clock.js';
import { Database } from '../store/database.js';
import { DirectConnection } from '../store/direct-connection.js';
import { sessionLockClass } from '../store/sql/sessions.js';
import { Session } from './session.js';

describe('a session', () => {
  let fixture: JournalFixture;
  let proxy: FaultProxy;
  let database: Database;
  let session: Session;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    proxy = await FaultProxy.start(fixture.admin.url);
  });
  afterAll(async () => {
    await fixture.close();
    await proxy.stop();
  });
  beforeEach(() => {
    database = new Database({ connectionString: proxy.url }, { poolSize: 2 });
    const ignore = (): void => undefined;
    session = new Session(database, new DatabaseClock(), undefined, {
      ttlMs: 30_000,
      deploymentId: 'test',
      serves: [],
      lost: ignore,
      moved: ignore,
      failed: ignore,
    });
  });
  afterEach(async () => {
    await session.close();
    await database.close();
  });
  const rows = async (): Promise<string[]> =>
    (await fixture.admin.query<{ id: string }>('SELECT id::text FROM durable.workflow_sessions')).map(({ id }) => id);

  it('leaves no row when it is closed while it opens', async () => {
    const opening = session.open();
    await session.close();
    await expect(opening).resolves.toBeDefined();
    expect(await rows()).toEqual([]);
  });

  it('keeps its id at the next attempt to open when the answer to the first attempt was lost', async () => {
    const cut = proxy.cutAfterCommit('durable_open_session');
    await expect(session.open()).rejects.toBeDefined();
    await cut;
    const [made] = await rows();
    expect(await session.open()).toMatchObject({ id: made });
    expect(await rows()).toEqual([made]);
  });

  it('leaves no row when it is closed after the answer to its opening was lost', async () => {
    const cut = proxy.cutAfterCommit('durable_open_session');
    await expect(session.open()).rejects.toBeDefined();
    await cut;
    expect(await rows()).toHaveLength(1);
    await session.close();
    expect(await rows()).toEqual([]);
  });

  it('refuses to open after it was closed', async () => {
    await session.close();
    await expect(session.open()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await rows()).toEqual([]);
  });

  it.each(['with', 'without'])('is renewed while other work uses every connection of the pool (%s a direct connection)', async (direct) => {
    const ignore = (): void => undefined;
    const events = {
      noticed: ignore,
      lost: async () => undefined,
      connected: ignore,
      receivesNothing: ignore,
      unreachable: ignore,
      failed: ignore,
    };
    const listening = direct === 'with' ? new DirectConnection(database, events) : undefined;
    await listening?.start();
    const beating = new Session(database, new DatabaseClock(), listening, {
      ttlMs: 300,
      deploymentId: 'test',
      serves: [],
      lost: ignore,
      moved: ignore,
      failed: ignore,
    });
    const { id } = await beating.open();
    const busy = [await database.pool.connect(), await database.pool.connect()];
    const renewedAt = async (): Promise<number> => {
      const [row] = await fixture.admin.query('SELECT heartbeat_at FROM durable.workflow_sessions WHERE id = $1::bigint', [id]);
      return Number(row.heartbeat_at);
    };
    const before = await renewedAt();
    await waitFor(async () => (await renewedAt()) > before + 300);
    for (const client of busy) client.release();
    await beating.close();
    await listening?.stop();
  });

  it('takes its lock as soon as the lock is free, although the lock was held when the direct connection reconnected', async () => {
    const ignore = (): void => undefined;
    let connected = async (): Promise<void> => undefined;
    const listening = new DirectConnection(database, {
      noticed: ignore,
      lost: () => beating.unlock(),
      connected: () => void connected(),
      receivesNothing: ignore,
      unreachable: ignore,
      failed: ignore,
    });
    await listening.start();
    const beating: Session = new Session(database, new DatabaseClock(), listening, {
      ttlMs: 300,
      deploymentId: 'test',
      serves: [],
      lost: ignore,
      moved: ignore,
      failed: ignore,
    });
    const { id } = await beating.open();
    const holdsLock = async (): Promise<boolean> => {
      const [row] = await fixture.admin.query('SELECT holds_lock FROM durable.workflow_sessions WHERE id = $1::bigint', [id]);
      return row.holds_lock as boolean;
    };
    expect(await holdsLock()).toBe(true);
    connected = () => beating.lock();
    const other = new Client({ connectionString: fixture.admin.url });
    await other.connect();
    const key = [sessionLockClass(database), Number(BigInt(id) & 0x7fffffffn)];
    proxy.refuse();
    // Simulates a server that still holds the lock for a connection whose loss it has not noticed.
    await other.query('SELECT pg_advisory_lock($1::int, $2::int)', key);
    proxy.restore();
    await waitFor(() => listening.isConnected);
    await waitFor(async () => !(await holdsLock()));
    await other.end();
    await waitFor(holdsLock, { message: 'the lock, once it is free' });
    await beating.close();
    await listening.stop();
  });

  it('records the loss of its lock on an open connection of the pool, without another connection', async () => {
    const ignore = (): void => undefined;
    const straight = new Database({ connectionString: fixture.admin.url, application_name: 'straight' }, { poolSize: 2 });
    const lost = (): Promise<void> => locked.unlock();
    const events = { noticed: ignore, lost, connected: ignore, receivesNothing: ignore, unreachable: ignore, failed: ignore };
    const listening = new DirectConnection(straight, events, proxy.url);
    await listening.start();
    const options = { ttlMs: 30_000, deploymentId: 'test', serves: [], lost: ignore, moved: ignore, failed: ignore };
    const locked: Session = new Session(straight, new DatabaseClock(), listening, options);
    const { id } = await locked.open();
    const connections = () => fixture.admin.query(`SELECT pid FROM pg_stat_activity WHERE application_name = 'straight' ORDER BY pid`);
    proxy.refuse();
    const before = await connections();
    await waitFor(async () => {
      const [row] = await fixture.admin.query('SELECT holds_lock FROM durable.workflow_sessions WHERE id = $1::bigint', [id]);
      return !row.holds_lock;
    });
    const after = await connections();
    expect(before).toEqual(expect.arrayContaining(after));
    proxy.restore();
    await locked.close();
    await listening.stop();
    await straight.close();
  });
});
