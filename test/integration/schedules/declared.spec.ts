import type { Type } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Schedule, ScheduleDeclaredError, Workflow, type ScheduleDecoratorOptions, type ScheduleDetails } from '../../../src/index.js';
import { schedulesOf } from '../../../src/nest/decorators/schedule.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

/** A workflow class with these schedules, as one deployment has it. */
function workflow(name: string, ...schedules: ScheduleDecoratorOptions[]): Type {
  @Workflow({ name })
  class Declared {
    async run(): Promise<void> {}
  }
  for (const options of schedules) Schedule(options)(Declared);
  return Declared;
}

const at = (hour: number): ScheduleDecoratorOptions => ({ cron: `0 ${hour} 1 1 *` });

describe('schedules that code declares', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => closeApplications());
  afterAll(() => database.drop());

  const boot = (deploymentId: string, ...providers: Type[]): Promise<TestApplication> =>
    startApplication(database.url, providers, { worker: {}, deploymentId });
  const cronOf = async ({ client }: TestApplication, name: string): Promise<string | undefined> => (await client.schedules.get(name)).cron;
  /** Lets the declarations count as those of processes that have died. */
  const expire = (): Promise<unknown> =>
    database.query(`UPDATE durable.workflow_schedules SET declared_until = now() - interval '1 minute'`);

  it('are stored at the boot, and refuse changes by a client', async () => {
    const app = await boot('a', workflow('stored', at(4), { ...at(5), name: 'stored too', tags: { a: 'b' }, overlap: 'queue' }));
    const { schedules } = app.client;
    expect(await schedules.get('stored')).toMatchObject({ declared: true, workflow: 'stored', state: 'active', overlap: 'skip' });
    expect(await schedules.get('stored too')).toMatchObject({ tags: { a: 'b' }, overlap: 'queue' });
    await expect(schedules.update('stored', { cron: '* * * * *' })).rejects.toBeInstanceOf(ScheduleDeclaredError);
    await expect(schedules.delete('stored')).rejects.toBeInstanceOf(ScheduleDeclaredError);
    await schedules.pause('stored', { reason: 'a client may pause' });
    await app.close();
    const again = await boot('a', workflow('stored', at(4)));
    expect(await again.client.schedules.get('stored')).toMatchObject({ state: 'paused', pauseReason: 'a client may pause' });
  });

  it('keep the definition of the newest deployment while processes of both live', async () => {
    const older = await boot('old', workflow('rolling', at(4)));
    const newer = await boot('new', workflow('rolling', at(5)));
    expect(await cronOf(newer, 'rolling')).toBe('0 5 1 1 *');
    await boot('old', workflow('rolling', at(4)));
    expect(await cronOf(older, 'rolling')).toBe('0 5 1 1 *');
    // All processes of the new deployment are gone: the old one was deployed again.
    await newer.close();
    await expire();
    const back = await boot('old', workflow('rolling', at(4)));
    expect(await cronOf(back, 'rolling')).toBe('0 4 1 1 *');
  });

  it('are paused once no process declares them, start no run meanwhile, and come back with the code', async () => {
    const with2 = await boot('with', workflow('gone', { every: '1s' }));
    await waitFor(async () => (await with2.client.schedules.get('gone')).runs.length > 0);
    await with2.close();
    const app = await boot('without', workflow('gone'));
    const { schedules } = app.client;
    const before = (await schedules.get('gone', { runs: 100 })).runs.length;
    await expire();
    // Something else makes the worker look.
    await schedules.create('another', { workflow: 'gone', every: '1d', startAt: new Date(Date.now() + 1) });
    const gone = await waitFor(async () => {
      const found: ScheduleDetails = await schedules.get('gone', { runs: 100 });
      return found.state === 'paused' ? found : undefined;
    });
    expect(gone.pauseReason).toContain('no process declares');
    expect(gone.runs).toHaveLength(before);
    await expect(schedules.resume('gone')).rejects.toBeInstanceOf(ScheduleDeclaredError);
    const back = await boot('with again', workflow('gone', { every: '1s' }));
    await waitFor(async () => (await back.client.schedules.get('gone', { runs: 100 })).runs.length > before);
    expect(await back.client.schedules.get('gone')).toMatchObject({ state: 'active', pauseReason: undefined });
  });

  it('can be deleted once no process declares them', async () => {
    const app = await boot('with', workflow('deleted', at(4)));
    await app.close();
    const { client } = await boot('without', workflow('deleted'));
    await expire();
    await client.schedules.create('wakes', { workflow: 'deleted', every: '1d', startAt: new Date(Date.now() + 1) });
    await waitFor(async () => (await client.schedules.get('deleted')).state === 'paused');
    await client.schedules.delete('deleted');
    await expect(client.schedules.get('deleted')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
  });

  it('leave a schedule alone that a client has created under the same name', async () => {
    const { client } = await boot('a', workflow('mine'));
    await client.schedules.create('mine', { workflow: 'mine', cron: '0 1 1 1 *' });
    const app = await boot('b', workflow('mine', at(4)));
    expect(await app.client.schedules.get('mine')).toMatchObject({ declared: false, cron: '0 1 1 1 *' });
  });

  it.each([
    ['two schedules of one class have the same name', [workflow('twice', at(4), at(5))], 'two schedules have the name "twice"'],
    [
      'classes of two workflows have the same name',
      [workflow('first', { ...at(4), name: 'x' }), workflow('second', { ...at(4), name: 'x' })],
      'both have the name "x"',
    ],
    ['a date does not exist', [workflow('impossible', { cron: '0 0 31 4 *' })], 'no date fits'],
    ['a zone does not exist', [workflow('zone', { cron: '0 0 1 1 *', timezone: 'Mars/Olympus' })], 'there is no zone'],
  ])('end the boot when %s', async (_, providers, message) => {
    await expect(boot('a', ...providers)).rejects.toThrow(message);
  });

  it('have an input that the workflow accepts, which the compiler checks', () => {
    type Input = { kind: 'daily' | 'weekly'; to: string[]; since?: Date };
    @Schedule({ every: '1d', input: { kind: 'daily', to: ['a', 'b'], since: new Date(0) } })
    @Workflow({ name: 'typed' })
    class Typed {
      async run(_input: Input): Promise<void> {}
    }
    // @ts-expect-error the workflow knows no hourly report
    Schedule({ every: '1h', input: { kind: 'hourly', to: [] } })(Typed);
    // @ts-expect-error the input lacks `to`
    Schedule({ every: '1h', input: { kind: 'daily' } })(Typed);
    expect(schedulesOf(Typed).map(({ every }) => every)).toEqual(['1d', '1h', '1h']);
  });

  it('may have ended', async () => {
    const app = await boot('a', workflow('ended', { every: '1h', endAt: new Date('2020-01-01') }));
    expect(await app.client.schedules.get('ended')).toMatchObject({ state: 'ended', next: undefined });
  });
});
