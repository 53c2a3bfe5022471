import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

let release: () => void = () => undefined;
const bodies: string[] = [];

@Workflow({ name: 'gated' })
class Gated {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    await ctx.step('pass the gate', async () => {
      bodies.push(name);
      if (name === 'cursed') await new Promise<void>((resolve) => (release = resolve));
    });
    if (name === 'sleeps') await ctx.sleep('1 hour');
    return name;
  }
}

/** One try in a flush with earlier transitions, one alone, and three more with pauses. */
const TRIES = 5;

let database: TestDatabase;
let client: WorkflowClient;
beforeEach(async () => {
  bodies.splice(0);
  database = await createTestDatabase();
  ({ client } = await startApplication(database.url, [Gated], { worker: { suspendAfter: 0, concurrency: 2 } }));
});
afterEach(async () => {
  await closeApplications();
  await database.drop();
});

/** A trigger of the application that refuses updates of one run, and counts the refusals. */
const refuse = (id: string, when: string): Promise<unknown> =>
  database.query(`CREATE SEQUENCE public.refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.refusals'); RAISE EXCEPTION 'not this run'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON durable.workflow_runs FOR EACH ROW WHEN (NEW.id = '${id}' AND ${when}) EXECUTE FUNCTION refuse()`);
const refusals = async (): Promise<number> => {
  const [row] = await database.query<{ count: number }>(
    'SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS count FROM public.refusals',
  );
  return row!.count;
};
const dropTrigger = (): Promise<unknown> => database.query('DROP TRIGGER refuse ON durable.workflow_runs');
const blocked = (id: string): Promise<unknown> =>
  waitFor(async () => (await client.describe(id)).blocked !== undefined, { timeoutMs: 20_000, message: `run "${id}" to be blocked` });

const startCursed = async (when: string): Promise<void> => {
  await client.start(Gated, 'cursed', { id: 'cursed' });
  await waitFor(() => bodies.includes('cursed'));
  await refuse('cursed', when);
  release();
};

it('a run whose end the database refuses is blocked with the reason, and completes when it is resumed', async () => {
  await startCursed(`NEW.status IN ('completed', 'failed')`);
  await blocked('cursed');
  const { blocked: why, waitingFor, status } = await client.describe('cursed');
  expect(status).toBe('waiting');
  expect(why!.reason).toMatchObject({ code: 'RUN_NOT_RECORDED', message: 'The database refuses to record run "cursed": not this run' });
  expect(waitingFor[0]).toMatchObject({ kind: 'resume', text: expect.stringContaining('the database refuses') });
  expect(await refusals()).toBeLessThanOrEqual(TRIES);
  await dropTrigger();
  await client.resume('cursed');
  expect(await client.getHandle(Gated, 'cursed').result({ timeout: seconds(45) })).toBe('cursed');
  expect(bodies).toEqual(['cursed']);
});

it('a run whose suspension the database refuses is blocked after a few tries', async () => {
  await refuse('sleepless', `NEW.status = 'waiting' AND NOT NEW.is_blocked`);
  await client.start(Gated, 'sleeps', { id: 'sleepless' });
  await blocked('sleepless');
  expect((await client.describe('sleepless')).blocked!.reason).toMatchObject({ code: 'RUN_NOT_RECORDED' });
  expect(await refusals()).toBeLessThanOrEqual(TRIES);
});

it('a run whose row takes no update delays no other run, shows in health, and completes after it takes updates', async () => {
  await startCursed('true');
  await waitFor(async () => (await refusals()) > 0);
  await waitFor(
    async () => {
      const results = await Promise.all(Array.from({ length: 10 }, () => client.execute(Gated, 'free')));
      expect(new Set(results)).toEqual(new Set(['free']));
      return (await client.health()).worker.unwritable.length > 0;
    },
    { timeoutMs: 30_000, message: 'the run to be unwritable' },
  );
  const { worker } = await client.health();
  expect(worker.unwritable).toMatchObject([{ runId: 'cursed', error: { code: 'RUN_NOT_RECORDED', cause: { message: 'not this run' } } }]);
  // If the run failed its neighbours' flushes, each wave of them would cause several refusals.
  expect(await refusals()).toBeLessThan(3 * TRIES);
  expect(worker.freeSlots).toBe(2);
  await dropTrigger();
  await blocked('cursed');
  await client.resume('cursed');
  expect(await client.getHandle(Gated, 'cursed').result({ timeout: seconds(45) })).toBe('cursed');
});
