import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { waitFor } from '../../test/support/wait.js';
import { Database } from './database.js';
import { ReadReplica, throughReplica } from './read-replica.js';

describe('a read replica', () => {
  let admin: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    admin = await createTestDatabase();
    database = new Database({ connectionString: admin.url }, { poolSize: 2 });
  });
  afterAll(async () => {
    await database.close();
    await admin.drop();
  });

  /** Creates a replica, and the errors with which it was lost. */
  function createReplica(url: string): { replica: ReadReplica; errors: unknown[] } {
    const errors: unknown[] = [];
    const replica = new ReadReplica(database, url, { failed: (error) => errors.push(error), recovered: () => errors.push('recovered') });
    return { replica, errors };
  }

  it('is lost, and the process continues, when a file that its URL names has disappeared', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'replica-'));
    const file = join(directory, 'root.crt');
    await writeFile(file, '');
    const url = new URL(admin.url);
    url.search = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(file)}`;
    const { replica, errors } = createReplica(url.href);
    try {
      // The server of the tests has no TLS, so the replica is not used.
      await replica.check();
      expect(await replica.state()).toMatchObject({ isInUse: false, error: { message: expect.not.stringContaining('ENOENT') } });
      await rm(directory, { recursive: true });
      await expect(replica.check()).resolves.toBeUndefined();
      expect(await replica.state()).toMatchObject({ isInUse: false, error: { message: expect.stringContaining('ENOENT') } });
      expect(errors).toHaveLength(1);
      expect(await replica.query('long', 'SELECT 1', [], async () => [['primary']])).toEqual([['primary']]);
    } finally {
      await replica.close();
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('answers queries about one run while two slow listings use the connections for listings', async () => {
    // The server itself counts as its replica.
    const { replica, errors } = createReplica(admin.url);
    try {
      await replica.check();
      const view = throughReplica(database, replica);
      const slow = [1, 2].map(() => view.read('SELECT pg_sleep(5)', []).catch(() => undefined));
      await waitFor(async () => {
        const rows = await admin.query(`SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(5)' AND state = 'active'`);
        return rows.length === 2;
      });
      const answer = view.query({ name: 'read_only', text: () => 'SHOW transaction_read_only' }, []);
      expect(await Promise.race([answer, ...slow])).toEqual([['on']]);
      expect(errors).toEqual([]);
    } finally {
      await replica.close();
    }
  });
});
