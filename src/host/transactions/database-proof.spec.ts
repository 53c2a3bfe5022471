import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { JournalFixture, type OpenJournal } from '../../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../../test/support/wait.js';
import { TransactionalStepsError } from '../../core/errors/index.js';
import type { Database } from '../../store/database.js';
import { proveOneDatabase } from './database-proof.js';

const SETTINGS = { runInTransaction: undefined, currentTransaction: undefined };
const IDLE = `FROM pg_stat_activity WHERE application_name = 'proof' AND state = 'idle in transaction'`;

describe('the proof that application and module use one database', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let dataSource: DataSource;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    const options = { type: 'postgres', url: fixture.admin.url, applicationName: 'proof', poolErrorHandler: () => undefined } as const;
    dataSource = await new DataSource(options).initialize();
  });
  afterAll(async () => {
    await dataSource.destroy();
    await fixture.close();
  });

  it('succeeds for one database', async () => {
    expect(await proveOneDatabase(open.database, dataSource, SETTINGS)).toEqual({ statementMs: 0, idleMs: 0 });
  });

  it('reports a lost connection as such, and not as another database', async () => {
    // The server ends the connection of the application between its lock and that of the module.
    const cutting = Object.create(open.database, {
      query: {
        value: async (...args: Parameters<Database['query']>) => {
          await fixture.admin.query(`SELECT pg_terminate_backend(pid) ${IDLE}`);
          await waitFor(async () => (await fixture.admin.query(`SELECT 1 ${IDLE}`)).length === 0);
          return open.database.query(...args);
        },
      },
    }) as Database;
    const error: unknown = await proveOneDatabase(cutting, dataSource, SETTINGS).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(TransactionalStepsError);
  });
});
