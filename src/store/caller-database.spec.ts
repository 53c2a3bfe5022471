import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { forCallers } from './caller-database.js';
import type { Database } from './database.js';
import { describeRun, readRunStatus } from './sql/read-runs.js';

describe('errors of the database for callers of the client', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterEach(() => fixture.close());

  it('report a missing column as such, not as missing rights', async () => {
    await open.submit(startOf('one', false));
    await fixture.admin.query('ALTER TABLE durable.workflow_runs RENAME COLUMN forked_from TO forked');
    const error = await describeRun(forCallers(open.database), 'one', 'own').catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/another schema than this version needs: .*forked_from.*Run the migrations/);
  });

  it('say whether a write may have taken effect, and do not say it about a read', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const query = () => Promise.reject(refused);
    const away = forCallers(Object.assign(Object.create(open.database), { query }) as Database);
    const message = 'The database did not complete the call';
    await expect(readRunStatus(away, 'one')).rejects.toThrow(`${message}: connect ECONNREFUSED`);
    const write = { name: 'write', text: (schema: string) => `DELETE FROM ${schema}.workflow_runs` };
    await expect(away.query(write, [])).rejects.toThrow(`${message}. Nothing was written: connect ECONNREFUSED`);
  });
});
