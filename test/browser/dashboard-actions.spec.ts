import { expect, it } from '@jest/globals';
import type { Locator } from 'playwright-core';

import { closeApplications } from '../support/application.js';
import { describeWithChromium } from '../support/chromium.js';
import { serveDashboard, type DashboardApplication } from '../support/dashboard-application.js';
import { waitFor } from '../support/wait.js';
import { DashboardDriver } from './dashboard-driver.js';
import { approved, Broken, Checkout, paid, Parent, Receipt } from './dashboard-workflows.js';

const HOUR_MS = 3_600_000;
const REASON = { Reason: 'because' };
const BECAUSE = { actor: 'ann', reason: 'because' };

describeWithChromium('changes by the dashboard in Chromium', () => {
  const driver = new DashboardDriver([Broken, Checkout, Parent]);

  const allHave = ({ client }: DashboardApplication, ids: readonly string[], status: string): Promise<unknown> =>
    waitFor(async () => (await Promise.all(ids.map((id) => client.status(id)))).every((each) => each === status), {
      message: `status ${status} of ${ids.join(', ')}`,
    });

  const expectNoted = async ({ client }: DashboardApplication, runId: string, kind: string): Promise<void> => {
    const { entries } = await client.history(runId, { follow: false });
    expect(entries.find((entry) => entry.kind === kind)?.data).toMatchObject(BECAUSE);
  };

  const startFailed = async (served: DashboardApplication, ids: readonly string[]): Promise<void> => {
    for (const id of ids) await served.client.start(Checkout, { amount: 500 }, { id, tags: { day: 'monday' } });
    await allHave(served, ids, 'failed');
  };

  const startWaiting = async ({ client }: DashboardApplication, ids: readonly string[]): Promise<void> => {
    for (const id of ids) await client.start(Checkout, { amount: 1 }, { id, tags: { day: 'monday' } });
    await waitFor(async () => {
      const runs = await Promise.all(ids.map((id) => client.describe(id)));
      return runs.every(({ waits }) => waits.some(({ kind }) => kind === 'signal'));
    });
  };

  /** Fills the field of a local time. */
  const local = (ms: number): string => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

  /** Changes all runs of the filter on the page: counts them, starts, and waits for the end. */
  const changeAll = async (kind: string, fields: Readonly<Record<string, string>>, expected: number): Promise<void> => {
    await driver.page.getByRole('button', { name: 'Change all…' }).click();
    await driver.dialog().locator('select').selectOption(kind);
    for (const [name, value] of Object.entries({ ...fields, ...REASON })) await driver.dialog().getByRole('textbox', { name }).fill(value);
    await driver.dialog().getByRole('button', { name: 'Count the runs' }).click();
    await driver.dialog().locator(`[data-count="${expected}"]`).waitFor();
    await driver.dialog().getByLabel('Most runs per second').fill('100');
    await driver
      .dialog()
      .getByRole('button', { name: /^Change \d+ runs?$/ })
      .click();
    await driver.dialog().locator('[data-state="completed"]').waitFor();
    await driver.shows(driver.dialog(), `${expected} changed`);
    await driver.dialog().getByRole('button', { name: 'Close' }).last().click();
    await driver.dialogCloses('Change all');
  };

  it('pauses, limits, clears and resumes a queue', async () => {
    const served = await driver.serve(undefined, { options: { queues: { families: { concurrency: 5, fairness: 'fifo' } } } });
    const { client, url } = served;
    await driver.open(`${url}/workflow/dashboard#/queues`);
    const queue: Locator = driver.page.locator('tr[data-queue="families"]');
    await driver.leave('Pause', queue);
    expect(await client.queues.get('families')).toMatchObject({ paused: false });
    await driver.act('Pause', 'Pause the queue', REASON, queue);
    expect(await client.queues.get('families')).toMatchObject({ paused: true });
    for (const id of ['x', 'y']) await client.start(Parent, undefined, { id });
    await waitFor(async () => (await client.queues.get('families')).waiting === 2);

    await driver.leave('Limits', queue);
    // A rate without a period is refused before it is sent.
    await queue.getByRole('button', { name: 'Limits…' }).click();
    await driver.dialog().getByLabel('Starts per period').fill('5');
    await driver.dialog().getByRole('button', { name: 'Change the limits' }).click();
    await driver.shows(driver.dialog(), 'needs a number of runs and a period');
    await driver.page.keyboard.press('Escape');
    await driver.dialogCloses('Limits');
    const limits = { 'Runs at once': '3', 'At once per worker': '2', 'At once per key': '1', 'Starts per period': '5', Length: '1 minute' };
    await driver.act('Limits', 'Change the limits', { ...limits, ...REASON }, queue);
    expect(await client.queues.get('families')).toMatchObject({
      source: 'override',
      limits: { concurrency: 3, perWorker: 2, key: { concurrency: 1 }, rateLimit: { limit: 5, period: '1 minute' }, fairness: 'fifo' },
    });
    await driver.shows(queue, '3 at once');
    await queue.getByRole('button', { name: 'Limits…' }).click();
    await driver.dialog().getByLabel('Return to the limits of the application').check();
    await driver.dialog().getByRole('button', { name: 'Change the limits' }).click();
    await driver.dialogCloses('Limits');
    expect(await client.queues.get('families')).toMatchObject({ source: 'options', limits: { concurrency: 5, fairness: 'fifo' } });

    await driver.shows(queue.locator('td').nth(3), '2');
    await driver.act('Clear', 'Cancel the waiting runs', REASON, queue);
    await allHave(served, ['x', 'y'], 'cancelled');
    for (const id of ['x', 'y']) await expectNoted(served, id, 'cancel_requested');
    await driver.act('Resume', 'Resume the queue', REASON, queue);
    expect(await client.queues.get('families')).toMatchObject({ paused: false });
  });

  it('pauses, resumes, triggers, backfills and deletes a schedule', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    // The schedule is due about twelve hours from now, and not while the test runs.
    const cron = `0 ${(new Date().getUTCHours() + 12) % 24} * * *`;
    await client.schedules.create('daily', { workflow: Checkout, cron, timezone: 'UTC', input: { amount: 500 } });
    const view = (): Promise<void> => driver.open(`${url}/workflow/dashboard#/schedules`);
    await view();
    const schedule: Locator = driver.page.locator('tr[data-schedule="daily"]');
    await driver.leave('Delete', schedule);
    await driver.act('Pause', 'Pause the schedule', REASON, schedule);
    expect(await client.schedules.get('daily')).toMatchObject({ state: 'paused', pauseReason: 'because' });
    await driver.shows(schedule, 'because');
    await driver.act('Resume', 'Resume the schedule', REASON, schedule);
    expect(await client.schedules.get('daily')).toMatchObject({ state: 'active' });

    const backfill = async (): Promise<number> => {
      await schedule.getByRole('button', { name: 'Backfill…' }).click();
      await driver
        .dialog()
        .getByLabel('From')
        .fill(local(Date.now() - 72 * HOUR_MS));
      await driver
        .dialog()
        .getByLabel('To')
        .fill(local(Date.now() - HOUR_MS));
      await driver.dialog().getByRole('button', { name: 'Start the runs' }).click();
      const started = await driver.dialog().locator('[data-started]').getAttribute('data-started');
      await driver.dialog().getByRole('button', { name: 'Close' }).last().click();
      await driver.dialogCloses('Backfill');
      return Number(started);
    };
    expect(await backfill()).toBe(3);
    expect(await backfill()).toBe(0);
    expect(await client.count({ name: 'checkout' })).toBe(3);

    await driver.act('Start now', 'Start a run', REASON, schedule);
    await waitFor(() => driver.page.url().includes('#/runs/'));
    await driver.shows(driver.page.locator('.view-head'), 'failed');
    expect(await client.count({ name: 'checkout' })).toBe(4);
    await view();
    await driver.act('Delete', 'Delete the schedule', REASON, schedule);
    await expect(client.schedules.get('daily')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
    await driver.shows(driver.page.locator('main'), 'There are no schedules');
  });

  it('delivers an event again, to a workflow that has subscribed later', async () => {
    const before = await driver.serve();
    for (const order of ['7', '8']) await before.client.emit(paid, { order }, { id: `evt-${order}` });
    const list = async ({ client }: DashboardApplication): Promise<{ id: string; dispatchedAt: Date | undefined }[]> =>
      (await client.events.list({ event: paid })).events;
    await waitFor(async () => (await list(before)).every(({ dispatchedAt }) => dispatchedAt !== undefined));
    await closeApplications();
    const served = await serveDashboard(driver.database.url, { guards: [], actor: () => 'ann' }, [Checkout, Receipt]);
    const { client, url } = served;
    await driver.open(`${url}/workflow/dashboard#/events`);
    await driver.page.getByLabel('Event', { exact: true }).fill('order.paid');
    await driver.page.getByLabel('Key', { exact: true }).fill('7');
    await driver.page.getByRole('button', { name: 'Filter' }).click();
    await waitFor(async () => (await driver.page.locator('tr[data-event]').count()) === 1);
    expect(driver.page.url()).toContain('event=order.paid&key=7');
    const event = driver.page.locator('tr[data-event="evt-7"]');
    await event.locator('summary').click();
    await driver.shows(event, '"order": "7"');
    await driver.leave('Redeliver', event);
    expect(await client.count({ name: 'receipt' })).toBe(0);
    await driver.act('Redeliver', 'Deliver the event', REASON, event);
    await waitFor(async () => (await client.count({ name: 'receipt', status: 'completed' })) === 1);
    expect((await client.list({ name: 'receipt' })).runs.map(({ runId }) => runId)).toEqual(['receipt:order.paid:evt-7']);
    await driver.open(`${url}/workflow/dashboard#/events`);
    await driver.page.getByLabel('Id', { exact: true }).fill('evt-8');
    await driver.page.getByRole('button', { name: 'Filter' }).click();
    await waitFor(async () => (await driver.page.locator('tr[data-event]').count()) === 1);
    await driver.page.locator('tr[data-event="evt-8"]').waitFor();
  });

  it('changes all runs of a filter after it has counted them', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    const view = (): Promise<void> => driver.open(`${url}/workflow/dashboard#/runs?tag=day%3Dmonday`);
    await client.start(Checkout, { amount: 1 }, { id: 'other' });
    await startWaiting(served, ['a', 'b']);
    await view();
    await changeAll('signal', { Signal: 'approved', Payload: '{"by":"bob"}' }, 2);
    await allHave(served, ['a', 'b'], 'completed');
    expect(await client.getHandle<{ by: string }>('a').result()).toMatchObject({ by: 'bob' });
    await startWaiting(served, ['c', 'd']);
    await changeAll('cancel', {}, 2);
    await allHave(served, ['c', 'd'], 'cancelled');
    await expectNoted(served, 'c', 'cancel_requested');
    await startWaiting(served, ['e']);
    await changeAll('terminate', {}, 1);
    await allHave(served, ['e'], 'cancelled');
    await expectNoted(served, 'e', 'terminated');
    await startFailed(served, ['f', 'g']);
    await changeAll('retry', {}, 2);
    for (const id of ['f', 'g']) await expectNoted(served, id, 'retried');
    await allHave(served, ['f', 'g'], 'failed');
    await changeAll('delete', {}, 7);
    expect((await client.list({})).runs.map(({ runId }) => runId)).toEqual(['other']);
    // Nothing changes before the second question is answered.
    await driver.open(`${url}/workflow/dashboard#/runs?name=checkout`);
    await driver.page.getByRole('button', { name: 'Change all…' }).click();
    await driver.dialog().getByRole('button', { name: 'Count the runs' }).click();
    await driver.dialog().locator('[data-count="1"]').waitFor();
    await driver.page.keyboard.press('Escape');
    await driver.dialogCloses('Change all');
    expect((await client.describe('other')).cancelRequestedAt).toBeUndefined();
  });

  it('says why an operation on many runs could not be stopped, and stops it then', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    const inputs = Array.from({ length: 100 }, () => ({ amount: 1 }));
    await client.startMany(Checkout, inputs, { delay: '1h', tags: { day: 'monday' } });
    await driver.open(`${url}/workflow/dashboard#/runs?tag=day%3Dmonday`);
    await driver.page.getByRole('button', { name: 'Change all…' }).click();
    await driver.dialog().locator('select').selectOption('terminate');
    await driver.dialog().getByRole('button', { name: 'Count the runs' }).click();
    // At one run per second, the operation runs until it is stopped.
    await driver.dialog().getByLabel('Most runs per second').fill('1');
    await driver.dialog().getByRole('button', { name: 'Change 100 runs' }).click();
    const stop = driver.dialog().getByRole('button', { name: 'Stop', exact: true });
    const stopping = '**/api/bulk/*/stop';
    const body = JSON.stringify({ statusCode: 403, message: 'the session has ended', error: 'Forbidden' });
    await driver.page.route(stopping, (route) => route.fulfill({ status: 403, contentType: 'application/json', body }));
    await stop.click();
    await driver.shows(driver.dialog().getByRole('alert'), 'Error 403. the session has ended');
    await driver.dialog().locator('[data-state="running"]').waitFor();
    await driver.page.unroute(stopping);
    await stop.click();
    await driver.dialog().locator('[data-state="stopped"]').waitFor();
    expect(await driver.dialog().getByRole('alert').count()).toBe(0);
    expect(await client.count({ status: 'cancelled' })).toBeLessThan(100);
  });

  it('retries exactly the runs of a group of failures', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    await startFailed(served, ['f', 'g']);
    for (const id of ['h', 'i']) await client.start(Broken, undefined, { id });
    await allHave(served, ['h', 'i'], 'failed');
    await driver.open(`${url}/workflow/dashboard#/failures`);
    const group = driver.page.locator('[data-group="BROKEN"]');
    await driver.shows(group, 'outside a step');
    // A run that fails after the groups were shown is not among those that were counted.
    await driver.page.route('**/api/failures*', (route) => route.abort());
    await client.start(Broken, undefined, { id: 'later' });
    await allHave(served, ['later'], 'failed');
    await group.getByRole('button', { name: 'Retry…' }).click();
    await driver.dialog().getByLabel('Reason').fill('because');
    await driver.dialog().getByRole('button', { name: 'Count the runs' }).click();
    await driver.dialog().locator('[data-count="2"]').waitFor();
    await driver.dialog().getByRole('button', { name: 'Change 2 runs' }).click();
    await driver.shows(driver.dialog(), '2 changed');
    await driver.dialog().locator('[data-state="completed"]').waitFor();
    const generation = async (id: string): Promise<number> => (await client.describe(id)).generation;
    expect(await Promise.all(['f', 'g', 'h', 'i', 'later'].map(generation))).toEqual([0, 0, 1, 1, 0]);
    await expectNoted(served, 'h', 'retried');
  });

  it('shows no change in any view when it is read-only', async () => {
    const options = { queues: { families: { concurrency: 5 } } };
    const served = await driver.serve({ guards: [], readOnly: true }, { options });
    const { client, url } = served;
    await startFailed(served, ['f']);
    await startWaiting(served, ['w']);
    await client.emit(paid, { order: '7' }, { id: 'evt-7' });
    await client.schedules.create('hourly', { workflow: Checkout, cron: '0 * * * *', input: { amount: 500 } });
    const views = {
      'runs?name=checkout': '[data-run="f"]',
      'runs/f?step=charge': '.step-details',
      'runs/w': '.notice.waiting',
      failures: '[data-group]',
      queues: '[data-queue]',
      schedules: '[data-schedule]',
      events: '[data-event]',
    };
    for (const [view, content] of Object.entries(views)) {
      await driver.open(`${url}/workflow/dashboard#/${view}`);
      await driver.page.locator(content).first().waitFor();
      await driver.shows(driver.page.locator('.side'), 'read-only');
      expect([view, await driver.page.getByRole('button', { name: /…$/ }).count()]).toEqual([view, 0]);
    }
    await client.signal('w', approved, { by: 'bob' });
    await allHave(served, ['w'], 'completed');
  });
});
