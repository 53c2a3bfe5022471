import type { Client } from 'pg';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { FaultProxy } from '../../test/support/faults/proxy.js';
import { waitFor } from '../../test/support/wait.js';
import { Database } from './database.js';
import { DirectConnection } from './direct-connection.js';

/** Shorter than the timeout of an attempt to connect. */
const SOON = { timeoutMs: 5_000 };

describe('a direct connection', () => {
  let admin: TestDatabase;
  let proxy: FaultProxy;
  let database: Database;
  let direct: DirectConnection;
  let happened: string[];
  beforeAll(async () => {
    admin = await createTestDatabase();
  });
  beforeEach(async () => {
    proxy = await FaultProxy.start(admin.url);
    database = new Database({ connectionString: proxy.url }, { poolSize: 1 });
    direct = made(database);
  });
  afterEach(async () => {
    await direct.stop();
    await database.close();
    await proxy.stop();
  });
  afterAll(() => admin.drop());

  const made = (on: Database, lost: () => Promise<void> = async () => undefined): DirectConnection => {
    happened = [];
    const note = (what: string) => () => void happened.push(what);
    return new DirectConnection(on, {
      noticed: note('noticed'),
      lost: () => {
        note('lost')();
        return lost();
      },
      connected: note('connected'),
      receivesNothing: note('receivesNothing'),
      unreachable: note('unreachable'),
      failed: note('failed'),
    });
  };

  it('leaves no socket when it is stopped while it connects', async () => {
    proxy.silence();
    const starting = direct.start();
    await waitFor(() => proxy.connections === 1);
    await direct.stop();
    await waitFor(() => proxy.connections === 0, SOON);
    await starting;
    expect(happened).toEqual([]);
  });

  it('leaves no socket, and does not reconnect, when it is stopped while it reconnects', async () => {
    await direct.start();
    proxy.silence();
    proxy.cutAll();
    await waitFor(() => happened.includes('lost') && proxy.connections === 1);
    await direct.stop();
    proxy.restore();
    await waitFor(() => proxy.connections === 0, SOON);
    expect(happened).toEqual(['connected', 'lost']);
    expect(direct.isConnected).toBe(false);
  });

  it('does not start again after it was stopped', async () => {
    await direct.stop();
    await direct.start();
    expect(direct.isConnected).toBe(false);
    expect(proxy.connections).toBe(0);
  });

  it('reconnects after an attempt that could not even create a socket', async () => {
    let attempts = 0;
    class PoorDatabase extends Database {
      override directClient(url?: string): Client {
        if (++attempts === 2) throw new Error('no more sockets');
        return super.directClient(url);
      }
    }
    const poor = new PoorDatabase({ connectionString: proxy.url }, { poolSize: 1 });
    direct = made(poor);
    await direct.start();
    proxy.cutAll();
    await waitFor(() => happened.length === 3, SOON);
    expect(happened).toEqual(['connected', 'lost', 'connected']);
    expect(attempts).toBe(3);
    await poor.close();
  });

  it('keeps its lock, when the server does not answer, until its loss has been reported', async () => {
    const isHeld = async (): Promise<boolean> => {
      const rows = await admin.query(`SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE locktype = 'advisory' AND objid = 1 AND d.datname = current_database()`);
      return rows.length === 1;
    };
    let wasHeld: boolean | undefined;
    direct = made(database, async () => void (wasHeld = await isHeld()));
    await direct.start();
    expect(await direct.lock('1')).toBe(true);
    proxy.silence();
    expect(await direct.lock('1')).toBe(false);
    await waitFor(() => wasHeld !== undefined);
    expect(wasHeld).toBe(true);
    await waitFor(async () => !(await isHeld()), { message: 'the end of the silent connection' });
  });
});
