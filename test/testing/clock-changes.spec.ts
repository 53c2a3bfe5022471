import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowModule } from '../../src/index.js';
import { WorkflowTest } from '../../src/testing/index.js';

@Workflow({ name: 'daily' })
class Daily {
  async run(): Promise<void> {
    await Promise.resolve();
  }
}

const DAY_MS = 86_400_000;

/** Zone, expression, and the due times of the day before a change, that day, and the day after. */
const CHANGES: [zone: string, cron: string, due: [string, string, string]][] = [
  ['Pacific/Chatham', '0 3 * * *', ['2026-09-25T14:15Z', '2026-09-26T14:00Z', '2026-09-27T13:15Z']],
  ['Australia/Lord_Howe', '15 2 * * *', ['2026-10-02T15:45Z', '2026-10-03T15:30Z', '2026-10-04T15:15Z']],
  ['Europe/Berlin', '30 2 * * *', ['2026-10-24T00:30Z', '2026-10-25T00:30Z', '2026-10-26T01:30Z']],
  ['Africa/Cairo', '30 23 * * *', ['2026-10-28T20:30Z', '2026-10-29T20:30Z', '2026-10-30T21:30Z']],
  ['America/New_York', '30 1 * * *', ['2026-10-31T05:30Z', '2026-11-01T05:30Z', '2026-11-02T06:30Z']],
  ['America/New_York', '30 2 * * *', ['2027-03-13T07:30Z', '2027-03-14T07:00Z', '2027-03-15T06:30Z']],
  ['Europe/Berlin', '30 2 * * *', ['2027-03-27T01:30Z', '2027-03-28T01:00Z', '2027-03-29T00:30Z']],
  ['Pacific/Chatham', '0 3 * * *', ['2027-04-02T13:15Z', '2027-04-03T13:15Z', '2027-04-04T14:15Z']],
  ['Australia/Lord_Howe', '45 1 * * *', ['2027-04-02T14:45Z', '2027-04-03T14:45Z', '2027-04-04T15:15Z']],
  ['Africa/Cairo', '0 0 * * *', ['2027-04-28T22:00Z', '2027-04-29T22:00Z', '2027-04-30T21:00Z']],
  // The leap day, and the end of the year.
  ['Europe/Berlin', '0 12 28,29 2 *', ['2028-02-28T11:00Z', '2028-02-29T11:00Z', '2029-02-28T11:00Z']],
  ['Europe/Berlin', '59 23 * * *', ['2026-12-30T22:59Z', '2026-12-31T22:59Z', '2027-01-01T22:59Z']],
];

describe('daily schedules under the clock of a test', () => {
  let test: WorkflowTest;
  const first = new Date('2026-09-24T00:00Z');
  beforeAll(async () => {
    const builder = Test.createTestingModule({ imports: [WorkflowModule.forRoot({})], providers: [Daily] });
    test = await WorkflowTest.create(builder, { startAt: first });
  });
  afterAll(() => test?.close());

  it('start one run on each day, also when clocks change, on the leap day and at the end of the year', async () => {
    const times = CHANGES.map(([, , due]) => due.map((text) => new Date(text)));
    for (const [index, [timezone, cron]] of CHANGES.entries()) {
      const [before, , after] = times[index]!;
      const period = { startAt: new Date(before!.getTime() - 60_000), endAt: new Date(after!.getTime() + 60_000) };
      await test.client.schedules.create(`change-${index}`, { workflow: Daily, cron, timezone, ...period });
    }
    const last = Math.max(...times.flat().map((time) => time.getTime()));
    await test.advance(last + DAY_MS - first.getTime());
    for (const [index, expected] of times.entries()) {
      const { runs, state } = await test.client.schedules.get(`change-${index}`);
      expect([CHANGES[index]![0], state, runs.map(({ dueAt }) => dueAt).toReversed()]).toEqual([CHANGES[index]![0], 'ended', expected]);
    }
  });
});
