import type { LoggerService } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { WorkflowModule, WorkflowClient, workflowRef, Workflow } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'served' })
class ServedWorkflow {
  async run(): Promise<void> {}
}

/** Characters that divide lines, move a cursor, or change the direction of text. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const FORGED = 'order\r\n[Nest] ERROR forged\u001b[2J\u0085\u2028\u202e';

class Lines implements LoggerService {
  readonly all: string[] = [];
  private readonly take = (...values: unknown[]): void => void this.all.push(...values.filter((value) => typeof value === 'string'));
  log = this.take;
  warn = this.take;
  error = this.take;
  debug = this.take;
  verbose = this.take;
  fatal = this.take;
}

describe('lines of the log', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('escape control characters in names from the database', async () => {
    const boot = (lines: LoggerService) =>
      bootApplication(
        { imports: [WorkflowModule.forRoot({ worker: {}, connection: { url: database.url } })], providers: [ServedWorkflow] },
        lines,
      );
    const first = await boot(new Lines());
    await first.get(WorkflowClient).start(workflowRef<undefined>('unserved'), undefined, { id: 'one' });
    await closeApplications();
    await database.query(`UPDATE durable.workflow_runs SET name = $1 WHERE id = 'one'`, [FORGED]);

    const lines = new Lines();
    await boot(lines);
    await waitFor(() => lines.all.some((line) => line.includes('forged')), { message: 'the warning of runs that nobody here can execute' });

    expect(lines.all.filter((line) => UNSAFE.test(line))).toEqual([]);
    expect(lines.all.find((line) => line.includes('forged'))).toContain(
      String.raw`order\r\n[Nest] ERROR forged\u001b[2J\u0085\u2028\u202e`,
    );
  });

  it('name who deleted a run, and why', async () => {
    const lines = new Lines();
    const imports = [WorkflowModule.forRoot({ worker: {}, connection: { url: database.url } })];
    const client = (await bootApplication({ imports, providers: [ServedWorkflow] }, lines)).get(WorkflowClient);
    await client.execute(ServedWorkflow, undefined, { id: 'deleted' });
    await client.delete('deleted', { actor: 'ann', reason: 'a test' });
    expect(lines.all).toContain('run "deleted" was deleted by ann: a test');
  });
});
