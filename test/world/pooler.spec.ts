import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { PgBouncer, pgBouncerVersion } from '../support/pgbouncer.js';
import { killSpawned } from '../support/processes.js';
import { waitFor } from '../support/wait.js';
import { KitApplication } from './support/kit-application.js';

(pgBouncerVersion === undefined ? describe.skip : describe)('an application behind PgBouncer in transaction mode', () => {
  let database: TestDatabase;
  let bouncer: PgBouncer;
  let application: KitApplication;

  beforeAll(async () => {
    database = await createTestDatabase();
    bouncer = await PgBouncer.start(database.url);
    const env = { WORLD_OPTIONS: JSON.stringify({ pooler: 'transaction' }) };
    application = await KitApplication.start('stable', bouncer.urlOf(database.url), env);
  });

  afterAll(async () => {
    await killSpawned();
    await bouncer.stop();
    await database.drop();
  });

  it('executes steps, waits for a hook, and streams', async () => {
    expect(await application.ended(await application.run('parallel', 10))).toEqual({ status: 'completed', output: 55 });
    const waiting = await application.run('waitsForHook', 'pooled');
    await waitFor(() => application.call('/hooks/pooled', { value: 5 }), { message: 'the hook' });
    expect(await application.ended(waiting)).toEqual({ status: 'completed', output: 6 });
    const streaming = await application.run('streams', ['one ', 'two']);
    expect(await (await fetch(`${application.url}/runs/${streaming}?stream`)).text()).toBe('one two');
  });
});
