import { expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../src/index.js';
import { runInMemory } from '../../src/testing/index.js';

@Workflow({ name: 'report' })
class Report {
  async run(rounds: number, ctx: WorkflowContext): Promise<string> {
    if (rounds > 0) return ctx.continueAsNew(Report, rounds - 1);
    await ctx.sleep('1 hour');
    return `${ctx.schedule?.name} ${ctx.schedule?.dueAt.toISOString()}`;
  }
}

const dueAt = new Date('2027-03-28T01:00:00Z');

it('shows the schedule to a run in memory, and to runs that continue it', async () => {
  const { output, startedAt, endedAt } = await runInMemory(Report, 2, { schedule: { dueAt } });
  expect(output).toBe('report 2027-03-28T01:00:00.000Z');
  expect([startedAt, endedAt]).toEqual([dueAt, new Date('2027-03-28T02:00:00Z')]);
});

it('takes the name of the schedule, and another time of the start', async () => {
  const startAt = new Date('2027-03-28T05:00:00Z');
  const { output, startedAt } = await runInMemory(Report, 0, { schedule: { dueAt, name: 'nightly' }, startAt });
  expect([output, startedAt]).toEqual(['nightly 2027-03-28T01:00:00.000Z', startAt]);
});

it('shows no schedule to other runs, and refuses a due time that is none', async () => {
  expect((await runInMemory(Report, 0)).output).toBe('undefined undefined');
  const schedule = { dueAt: 'tomorrow' as never };
  await expect(runInMemory(Report, 0, { schedule })).rejects.toMatchObject({ argument: 'options.schedule.dueAt' });
  await expect(runInMemory(Report, 0, { schedule: null as never })).rejects.toMatchObject({ argument: 'options.schedule' });
});
