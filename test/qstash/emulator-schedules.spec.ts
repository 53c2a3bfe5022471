import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';

import { type Bench, openBench } from './emulator-bench.js';

let bench: Bench;

beforeEach(async () => {
  bench = await openBench({ startAt: new Date('2026-01-01T00:00:30Z') });
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
});

afterEach(async () => {
  jest.restoreAllMocks();
  await bench.close();
});

function deliveredAt(): string[] {
  return bench.qstash.deliveries.map(({ startedAt }) => startedAt.toISOString());
}

it('the emulator publishes messages at the times of a schedule', async () => {
  const { client, endpoint, qstash } = bench;
  const { scheduleId } = await client.schedules.create({ destination: `${endpoint.url}/sweep?a=1`, cron: '*/20 * * * *', body: '{"v":1}' });
  await qstash.advance('1h');
  expect(deliveredAt()).toEqual(['2026-01-01T00:20:00.000Z', '2026-01-01T00:40:00.000Z', '2026-01-01T01:00:00.000Z']);
  expect(endpoint.received[0]).toMatchObject({
    path: '/sweep?a=1',
    body: '{"v":1}',
    headers: { 'upstash-schedule-id': scheduleId, 'content-type': 'application/json' },
  });
  expect(new Set(qstash.messages.map(({ messageId }) => messageId)).size).toBe(3);
});

it('the emulator replaces a schedule with the same id', async () => {
  const { client, endpoint, qstash } = bench;
  const create = (cron: string) =>
    client.schedules.create({ destination: endpoint.url, cron, scheduleId: 'sweep', retries: 1, delay: '5s', label: 'x', queueName: 'q' });
  await create('* * * * *');
  expect(await create('0 * * * *')).toEqual({ scheduleId: 'sweep' });
  expect(await client.schedules.list()).toHaveLength(1);
  expect(await client.schedules.get('sweep')).toMatchObject({
    scheduleId: 'sweep',
    cron: '0 * * * *',
    destination: endpoint.url,
    method: 'POST',
    retries: 1,
    delay: 5,
    queueName: 'q',
    labels: ['x'],
    isPaused: false,
    createdAt: qstash.now.getTime(),
    nextScheduleTime: Date.parse('2026-01-01T01:00:00Z'),
  });
  await qstash.advance('2h');
  expect(deliveredAt()).toEqual(['2026-01-01T01:00:05.000Z', '2026-01-01T02:00:05.000Z']);
});

it('the emulator pauses, resumes and deletes schedules', async () => {
  const { client, endpoint, qstash } = bench;
  await client.schedules.create({ destination: endpoint.url, cron: '* * * * *', scheduleId: 's' });
  await qstash.advance('2m');
  await client.schedules.pause({ schedule: 's' });
  await qstash.advance('10m');
  expect([endpoint.received.length, (await client.schedules.get('s')).isPaused]).toEqual([2, true]);
  await client.http.request({ method: 'POST', path: ['v2', 'schedules', 's', 'resume'], parseResponseAsJson: false });
  await qstash.advance('1m');
  expect(endpoint.received).toHaveLength(3);
  await client.schedules.delete('s');
  await qstash.advance('10m');
  expect(endpoint.received).toHaveLength(3);
});

it.each(['* * * *', '60 * * * *', '* * 0 * *', '5-1 * * * *', '*/0 * * * *', 'CRON_TZ=Moon/Crater * * * * *', 'x * * * *'])(
  'the emulator refuses the schedule %s',
  async (cron) => {
    await expect(bench.client.schedules.create({ destination: bench.endpoint.url, cron })).rejects.toMatchObject({ status: 400 });
  },
);

const jan1 = '2026-01-01T00:00:30Z';

it.each([
  ['30 4 * * *', jan1, '2026-01-01T04:30:00Z'],
  ['0 0 29 2 *', jan1, '2028-02-29T00:00:00Z'],
  ['0 9 * * MON-FRI', '2026-01-02T10:00:00Z', '2026-01-05T09:00:00Z'],
  ['0 9 * * 7', jan1, '2026-01-04T09:00:00Z'],
  ['0 0 13 * 5', jan1, '2026-01-02T00:00:00Z'],
  ['5,10-12,40/10 3 1 FEB,mar *', jan1, '2026-02-01T03:05:00Z'],
  ['CRON_TZ=America/New_York 0 4 * * *', jan1, '2026-01-01T09:00:00Z'],
  ['CRON_TZ=America/New_York 0 4 * * *', '2026-07-01T00:00:00Z', '2026-07-01T08:00:00Z'],
  ['CRON_TZ=Asia/Kolkata 0 0 * * *', jan1, '2026-01-01T18:30:00Z'],
  // 02:30 does not exist on the day on which the clocks go forward.
  ['CRON_TZ=Europe/Berlin 30 2 29 3 *', '2026-03-01T00:00:00Z', '2027-03-29T00:30:00Z'],
  ['CRON_TZ=Europe/Berlin 0 0 30 3 *', '2026-03-01T00:00:00Z', '2026-03-29T22:00:00Z'],
  ['CRON_TZ=Europe/Berlin 0 0 26 10 *', '2026-10-24T00:00:00Z', '2026-10-25T23:00:00Z'],
  // Midnight does not exist on that day.
  ['CRON_TZ=America/Santiago 0 1 6 9 *', '2026-09-01T00:00:00Z', '2026-09-06T04:00:00Z'],
])('the emulator computes the next time of %s after %s as %s', async (cron, after, expected) => {
  await bench.close();
  bench = await openBench({ startAt: new Date(after) });
  const { client, endpoint } = bench;
  const { scheduleId } = await client.schedules.create({ destination: endpoint.url, cron });
  const { nextScheduleTime } = await client.schedules.get(scheduleId);
  expect(new Date(nextScheduleTime!).toISOString()).toBe(new Date(expected).toISOString());
});

it('the emulator never runs a schedule for a day that does not exist', async () => {
  const { client, endpoint, qstash } = bench;
  await client.schedules.create({ destination: endpoint.url, cron: '0 0 31 2 *' });
  await qstash.advance('400 days');
  expect(endpoint.received).toEqual([]);
});
