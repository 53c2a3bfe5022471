import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { defineSignal, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const word = defineSignal<string>('word');

@Workflow({ name: 'neighbour' })
class Neighbour {
  async run(kind: string, ctx: WorkflowContext): Promise<string> {
    if (kind === 'sleeps') await ctx.sleep('1 second');
    if (kind === 'listens') return ctx.waitForSignal(word);
    return kind;
  }
}

const REFUSED = 'n-3';
const IDS = ['n-1', 'n-2', 'n-3', 'n-4', 'n-5'];
const OTHERS = IDS.filter((id) => id !== REFUSED);

let database: TestDatabase;
let client: WorkflowClient;
beforeEach(async () => {
  database = await createTestDatabase();
  ({ client } = await startApplication(database.url, [], { worker: false }));
  await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this run'; END $$`);
});
afterEach(async () => {
  await closeApplications();
  await database.drop();
});

const refuse = (when: string): Promise<unknown> =>
  database.query(`CREATE TRIGGER refuse BEFORE UPDATE ON durable.workflow_runs FOR EACH ROW
WHEN (NEW.id = '${REFUSED}' AND ${when}) EXECUTE FUNCTION refuse()`);
const allow = (): Promise<unknown> => database.query('DROP TRIGGER refuse ON durable.workflow_runs');
const startWorker = async (): Promise<WorkflowClient> =>
  (await startApplication(database.url, [Neighbour], { worker: { suspendAfter: 0, concurrency: 3, maxPollInterval: '1 second' } })).client;
const startAll = async (kind: string): Promise<void> => {
  for (const id of IDS) await client.start(Neighbour, kind, { id });
};
const results = (ids: readonly string[]): Promise<unknown[]> =>
  Promise.all(ids.map((id) => client.getHandle(Neighbour, id).result({ timeout: seconds(45) })));
const allWait = (): Promise<unknown> =>
  waitFor(async () => (await database.query(`SELECT 1 FROM durable.workflow_runs WHERE status = 'waiting'`)).length === IDS.length);

it('due runs are claimed beside a run whose claim the database refuses, and health shows that run', async () => {
  await startAll('due');
  await refuse(`NEW.status = 'running'`);
  const executing = await startWorker();
  const unwritable = async () => (await executing.health()).worker.unwritable;
  expect(await results(OTHERS)).toEqual(OTHERS.map(() => 'due'));
  await waitFor(async () => (await unwritable()).length > 0);
  expect(await unwritable()).toMatchObject([{ runId: REFUSED, error: { code: 'RUN_NOT_RECORDED', cause: { message: 'not this run' } } }]);
  await allow();
  expect(await results([REFUSED])).toEqual(['due']);
  expect(await unwritable()).toEqual([]);
});

it('sleeping runs wake beside a run that the database refuses to wake', async () => {
  await startAll('sleeps');
  await refuse(`OLD.status = 'waiting'`);
  await startWorker();
  expect(await results(OTHERS)).toEqual(OTHERS.map(() => 'sleeps'));
  await allow();
  expect(await results([REFUSED])).toEqual(['sleeps']);
});

it('runs receive their signals beside a run that the database refuses to notify', async () => {
  await startAll('listens');
  await startWorker();
  await allWait();
  await refuse('true');
  await Promise.all(IDS.map((id) => client.getHandle(Neighbour, id).signal(word, id)));
  expect(await results(OTHERS)).toEqual(OTHERS);
  await allow();
  expect(await results([REFUSED])).toEqual([REFUSED]);
});

it('a bulk operation skips the run that the database refuses to change', async () => {
  await startAll('listens');
  await startWorker();
  await allWait();
  await refuse('true');
  const { token } = await client.bulk.terminate({ filter: { name: 'neighbour' }, dryRun: true });
  await client.bulk.terminate({ token });
  await waitFor(async () => (await client.bulk.status(token)).state === 'completed');
  expect(await client.bulk.status(token)).toMatchObject({ done: OTHERS.length, skipped: 1 });
});
