import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { RequestMethod } from '@nestjs/common';
import { expect, it } from '@jest/globals';

import { defineEvent } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { describeWithChromium } from '../support/chromium.js';
import type { DashboardApplication } from '../support/dashboard-application.js';
import { itWithNginx, Nginx } from '../support/nginx.js';
import { waitFor } from '../support/wait.js';
import { DashboardDriver, PICTURES } from './dashboard-driver.js';
import { approved, Checkout, HOSTILE, MARKUP, Parent } from './dashboard-workflows.js';

describeWithChromium('the dashboard in Chromium', () => {
  const driver = new DashboardDriver([Checkout, Parent]);

  const waits = ({ client }: DashboardApplication, runId: string): Promise<unknown> =>
    waitFor(async () => (await client.describe(runId)).waits.some(({ kind }) => kind === 'signal'));

  const hasStatus = ({ client }: DashboardApplication, runId: string, status: string): Promise<unknown> =>
    waitFor(async () => (await client.status(runId)) === status, { message: `status ${status} of ${runId}` });

  it('shows every view accessibly, in light and dark, and on a phone without scrolling sideways', async () => {
    const served = await driver.serve(undefined, { options: { queues: { families: { concurrency: 5 } } } });
    const { client, url } = served;
    await client.emit(defineEvent<{ id: string }>('order.paid', { key: ({ id }) => id }), { id: 'order-7' }, { id: 'evt_1' });
    await client.schedules.create('nightly', { workflow: Parent, cron: '0 3 * * *' });
    for (const [id, amount] of [
      ['waits', 5],
      ['fails', 500],
      ['paused', 6],
      ['done', 7],
    ] as const)
      await client.start(Checkout, { amount }, { id, tags: { customer: id } });
    await client.start(Parent, undefined, { id: 'family' });
    for (const id of ['waits', 'paused', 'done', 'family-child']) await waits(served, id);
    await client.signal('done', approved, { by: 'bob' });
    await client.pause('paused', { actor: 'bob', reason: 'lunch' });
    await hasStatus(served, 'paused', 'paused');
    await hasStatus(served, 'done', 'completed');
    await hasStatus(served, 'fails', 'failed');
    const views = {
      runs: '#/runs',
      nothing: '#/runs?name=none',
      waits: '#/runs/waits',
      done: '#/runs/done?step=prepare',
      fails: '#/runs/fails?step=charge',
      family: '#/runs/family',
      missing: '#/runs/missing',
      workflows: '#/workflows',
      failures: '#/failures',
      queues: '#/queues',
      schedules: '#/schedules',
      events: '#/events',
      world: '#/world',
      workers: '#/workers',
      health: '#/health',
    };
    for (const [name, hash] of Object.entries(views)) {
      await driver.open(`${url}/workflow/dashboard${hash}`);
      for (const colorScheme of ['light', 'dark'] as const) {
        await driver.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await driver.expectAccessible(`${name} in ${colorScheme}`);
        await driver.page.screenshot({ path: `${PICTURES}/dashboard-${name}-${colorScheme}.png`, animations: 'disabled' });
      }
      await driver.page.setViewportSize({ width: 360, height: 740 });
      expect([name, await driver.page.evaluate('document.documentElement.scrollWidth <= innerWidth')]).toEqual([name, true]);
      await driver.page.screenshot({ path: `${PICTURES}/dashboard-${name}-phone.png`, animations: 'disabled' });
      await driver.page.setViewportSize({ width: 1280, height: 900 });
    }
    await driver.open(`${url}/workflow/dashboard#/runs`);
    await driver.page.keyboard.press('?');
    await driver.expectAccessible('the list of keys');
    await driver.page.keyboard.press('Escape');
    await waitFor(async () => (await driver.dialog().count()) === 0);
    await driver.page.emulateMedia({ media: 'print' });
    expect(await driver.page.locator('.side').isVisible()).toBe(false);
  });

  it('updates the list and the run as they change', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    await driver.open(`${url}/workflow/dashboard`);
    await driver.shows(driver.page.locator('main'), 'There are no runs yet');
    await client.start(Checkout, { amount: 1 }, { id: 'first' });
    await driver.row('first').waitFor();
    await driver.shows(driver.row('first'), 'waiting');
    await driver.row('first').getByRole('link', { name: 'first' }).click();
    await driver.page.locator('li[data-step="signal:approved"] .bar[data-state="open"]').waitFor();
    await driver.shows(driver.page.locator('.notice.waiting'), 'for signal "approved"');
    await driver.shows(driver.page.locator('.stream'), 'charged');
    await client.signal('first', approved, { by: 'bob' });
    await driver.shows(driver.page.locator('.view-head'), 'completed');
    await driver.shows(driver.page.locator('.payload', { hasText: 'Output' }), '"by": "bob"');
    await driver.page.locator('li[data-step="signal:approved"] .bar[data-state="completed"]').waitFor();
    expect(await driver.page.locator('li[data-step="prepare"] .bar-failure').count()).toBe(1);
    await driver.open(`${url}/workflow/dashboard#/runs/first?after=abc`);
    await driver.shows(driver.page.locator('.notice.failure'), 'after');
  });

  it('keeps filters in the address, follows the back button, and moves by keys', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    await client.start(Checkout, { amount: 500 }, { id: 'one', tags: { customer: 'a,b' } });
    await client.start(Checkout, { amount: 500 }, { id: 'two' });
    await hasStatus(served, 'one', 'failed');
    await hasStatus(served, 'two', 'failed');
    await driver.open(`${url}/workflow/dashboard#/runs`);
    await driver.row('two').waitFor();
    await driver.page.keyboard.press('/');
    await driver.page.keyboard.type('tag:customer=a,b after:1h');
    await driver.page.keyboard.press('Enter');
    await waitFor(async () => (await driver.page.locator('tr[data-run]').count()) === 1);
    expect(driver.page.url()).toContain('tag=customer%3Da%2Cb&createdAfter=1h');
    await driver.page.reload();
    await driver.row('one').waitFor();
    expect(await driver.row('two').count()).toBe(0);
    await driver.page.getByRole('button', { name: 'Remove tag customer=a,b' }).click();
    await driver.row('two').waitFor();
    await driver.page.goBack();
    await waitFor(async () => (await driver.row('two').count()) === 0);
    await driver.page.goForward();
    await driver.row('two').waitFor();
    await driver.page.locator('h1').click();
    await driver.page.keyboard.press('j');
    await driver.page.keyboard.press('j');
    await driver.page.keyboard.press('k');
    const focused = await driver.page.evaluate<string>('document.activeElement.textContent');
    await driver.page.keyboard.press('Enter');
    await waitFor(() => driver.page.url().endsWith(`#/runs/${focused}`));
    await driver.page.keyboard.press('g');
    await driver.page.keyboard.press('f');
    await waitFor(() => driver.page.url().endsWith('#/failures'));
    // A search for an id opens the run.
    await driver.page.keyboard.press('g');
    await driver.page.keyboard.press('r');
    await driver.row('one').waitFor();
    await driver.page.keyboard.press('/');
    await driver.page.keyboard.type('one');
    await driver.page.keyboard.press('Enter');
    await waitFor(() => driver.page.url().endsWith('#/runs/one'));
    await driver.page.goto(`${url}/workflow/dashboard#/runs?createdAfter=2months`);
    await driver.shows(driver.page.locator('main'), 'must be a time such as');
  });

  it('goes through pages by cursor', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    await client.startMany(
      Checkout,
      Array.from({ length: 60 }, () => ({ amount: 500 })),
    );
    await waitFor(async () => (await client.count({ status: 'failed' })) === 60);
    await driver.open(`${url}/workflow/dashboard#/runs?status=failed`);
    await waitFor(async () => (await driver.page.locator('tr[data-run]').count()) === 50);
    await driver.page.keyboard.press('n');
    await waitFor(async () => (await driver.page.locator('tr[data-run]').count()) === 10);
    expect(driver.page.url()).toContain('cursor=');
    await driver.page.keyboard.press('p');
    await waitFor(async () => (await driver.page.locator('tr[data-run]').count()) === 50);
  });

  it('shows hostile texts as texts', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    const id = `x ${MARKUP}/%2F?#`;
    await client.start(Checkout, { amount: 1, note: HOSTILE }, { id, tags: { [MARKUP]: MARKUP } });
    await client.start(Checkout, { amount: 500, note: HOSTILE }, { id: 'fails' });
    await waits(served, id);
    await hasStatus(served, 'fails', 'failed');
    await driver.open(`${url}/workflow/dashboard#/runs/${encodeURIComponent(id)}`);
    await driver.shows(driver.page.locator('.payload', { hasText: 'Input' }), '<script>window.hacked=1</script>\\u{202e}gnp.exe\\u{200b}');
    await driver.shows(driver.page.locator('.stream'), '<img src=x onerror=');
    await driver.open(`${url}/workflow/dashboard#/runs/fails`);
    await driver.shows(driver.page.locator('.error-panel'), '<script>window.hacked=1</script>');
    await driver.open(`${url}/workflow/dashboard#/runs`);
    await driver.row('fails').waitFor();
    expect(await driver.page.evaluate('window.hacked')).toBeUndefined();
    expect(await driver.page.locator('main img, main script').count()).toBe(0);
  });

  it('cuts huge payloads, and stays quick with huge and deep ones', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    const ids = ['huge', 'flat', 'deep', 'abyss'] as const;
    for (const id of ids) await client.start(Checkout, { amount: 1 }, { id });
    for (const id of ids) await waits(served, id);
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
    // The client refuses such payloads, while other programs may write them.
    for (const [id, input] of [
      ['huge', JSON.stringify({ note: '\u202E'.repeat(5_000_000) })],
      ['flat', JSON.stringify(Array.from({ length: 400_000 }, () => ({ a: 1 })))],
      ['deep', nested(1_000)],
      ['abyss', nested(10_000)],
    ])
      await driver.database.query('UPDATE durable.workflow_runs SET input = $2 WHERE id = $1', [id, input]);
    const input = driver.page.locator('.payload', { hasText: 'Input' });
    const shownLength = async (): Promise<number> => (await input.locator('pre').textContent())!.length;
    const open = async (id: string): Promise<void> => {
      await driver.open(`${url}/workflow/dashboard#/runs/${id}`);
      await input.waitFor();
    };
    for (const id of ['huge', 'flat']) {
      await open(id);
      await driver.shows(input, '2,000 of ');
      expect(await shownLength()).toBeLessThanOrEqual(16_001);
      await input.getByRole('button', { name: 'Show more' }).click();
      await driver.shows(input, '1,000,000 of ');
      // Codes of characters that are not visible make the text longer.
      expect(await shownLength()).toBe(1_000_001);
    }
    await open('deep');
    // Indentation would make a thousand levels a million characters.
    expect(await input.locator('pre').innerText()).toBe(nested(1_000));
    await open('abyss');
    expect(await input.innerText()).toMatch(/nested too deeply|2,000 of 20,000/);
    // The page still follows keys.
    await driver.page.locator('h1').click();
    await driver.page.keyboard.press('g');
    await driver.page.keyboard.press('f');
    await waitFor(() => driver.page.url().endsWith('#/failures'));
  });

  it('prints a run with everything that it shows, and without controls', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    const note = Array.from({ length: 60 }, (_, line) => `line ${line}`);
    await client.start(Checkout, { amount: 500, note: note.join() }, { id: 'fails', tags: { customer: 'ann' } });
    await hasStatus(served, 'fails', 'failed');
    await driver.page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    // A4, without its margins.
    await driver.page.setViewportSize({ width: 720, height: 1040 });
    await driver.open(`${url}/workflow/dashboard#/runs/fails?step=charge`);
    await driver.page.locator('.history li').first().waitFor();
    await driver.page.screenshot({ path: `${PICTURES}/dashboard-print.png`, fullPage: true, animations: 'disabled' });
    const main = driver.page.locator('main');
    for (const text of ['fails', 'failed', 'customer', 'prepare', 'declined line 0', 'line 59', 'run created', 'Input'])
      expect([text, await main.getByText(text).first().isVisible()]).toEqual([text, true]);
    const isWhole = `[...document.querySelectorAll('main, main *:not(.hidden)')].filter((element) => getComputedStyle(element).overflowY !== 'visible'
      && element.scrollHeight > element.clientHeight + 1).map((element) => element.className)`;
    expect(await driver.page.evaluate(isWhole)).toEqual([]);
    const controls = driver.page.locator(
      'button:not(.timeline-label):visible, input:visible, select:visible, .pager:visible, .side:visible',
    );
    expect(await controls.allInnerTexts()).toEqual([]);
    // Browsers print no backgrounds, so the light text of the dark theme would not be readable.
    const colors = `['backgroundColor', 'color'].map((name) => getComputedStyle(document.documentElement)[name])`;
    expect(await driver.page.evaluate(colors)).toEqual(['rgb(255, 255, 255)', 'rgb(22, 28, 39)']);
    await driver.page.evaluate(`document.documentElement.dataset.theme = 'dark'`);
    expect(await driver.page.evaluate(colors)).toEqual(['rgb(255, 255, 255)', 'rgb(22, 28, 39)']);
  });

  it('makes each change after a question, with the user and the reason', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    const view = (runId: string): Promise<void> => driver.open(`${url}/workflow/dashboard#/runs/${runId}`);
    const noted = async (runId: string, kind: string): Promise<void> => {
      const { entries } = await client.history(runId, { follow: false });
      expect(entries.find((entry) => entry.kind === kind)?.data).toMatchObject({ actor: 'ann', reason: 'because' });
    };
    const reason = { Reason: 'because' };
    for (const id of ['a', 'b', 'c']) {
      await client.start(Checkout, { amount: 1 }, { id });
      await waits(served, id);
    }
    await view('a');
    // Escape leaves everything as it is, and gives the focus back.
    await driver.page.getByRole('button', { name: 'Cancel…' }).click();
    await waitFor(() => driver.page.evaluate<boolean>(`document.activeElement.matches('dialog[open] input')`));
    await driver.page.keyboard.press('Escape');
    await waitFor(async () => (await driver.dialog().count()) === 0);
    expect(await driver.page.evaluate('document.activeElement.textContent')).toBe('Cancel…');
    expect((await client.describe('a')).cancelRequestedAt).toBeUndefined();

    await driver.act('Pause', 'Pause the run', reason);
    await hasStatus(served, 'a', 'paused');
    await noted('a', 'paused');
    await driver.act('Resume', 'Resume the run', reason);
    await waits(served, 'a');
    await noted('a', 'resumed');
    // A payload that is not JSON is refused before it is sent.
    await driver.page.getByRole('button', { name: 'Signal…' }).click();
    await driver.dialog().getByLabel('Payload').fill('{by}');
    await driver.dialog().getByRole('button', { name: 'Send the signal' }).click();
    await driver.shows(driver.dialog(), 'is not JSON');
    await driver.dialog().getByLabel('Payload').fill('{"by":"bob"}');
    await driver.dialog().getByRole('button', { name: 'Send the signal' }).click();
    await hasStatus(served, 'a', 'completed');
    await waitFor(async () => (await driver.dialog().count()) === 0);
    await driver.page.locator('li[data-step="prepare"] .timeline-label').click();
    await driver.act('Fork from here', 'Start the fork', reason);
    await waitFor(() => !driver.page.url().includes('#/runs/a'));
    const fork = decodeURIComponent(driver.page.url().replace(/.*#\/runs\//, ''));
    expect((await client.describe(fork)).forkedFrom).toBe('a');
    await noted(fork, 'forked');

    await view('b');
    await driver.act('Cancel', 'Cancel the run', reason);
    await hasStatus(served, 'b', 'cancelled');
    await noted('b', 'cancel_requested');
    await view('c');
    await driver.act('Terminate', 'End the run now', reason);
    await hasStatus(served, 'c', 'cancelled');
    await noted('c', 'terminated');
    await driver.act('Delete', 'Delete the run', reason);
    await expect(client.status('c')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });

    await client.start(Checkout, { amount: 500 }, { id: 'd' });
    await hasStatus(served, 'd', 'failed');
    await view('d');
    await driver.act('Retry', 'Retry the run', reason);
    await waitFor(async () => (await client.describe('d')).generation === 1 && (await client.status('d')) === 'failed');
    await noted('d', 'retried');
    await driver.page.locator('li[data-step="charge"] .timeline-label').click();
    await driver.act('Set the result', 'Set the result', { Output: '{"id":"by hand"}', Reason: 'because' });
    await waits(served, 'd');
    await noted('d', 'step_resolved');
  });

  it('does not let a slow change close the next dialog, and shows why a change was refused', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    await client.start(Checkout, { amount: 1 }, { id: 'a' });
    await waits(served, 'a');
    await driver.open(`${url}/workflow/dashboard#/runs/a`);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    await driver.page.route('**/pause', async (route) => {
      await held;
      await route.continue();
    });
    await driver.page.getByRole('button', { name: 'Pause…' }).click();
    await driver.dialog().getByRole('button', { name: 'Pause the run' }).click();
    await driver.shows(driver.dialog(), 'Working…');
    await driver.page.keyboard.press('Escape');
    await driver.page.getByRole('button', { name: 'Terminate…' }).click();
    release();
    await hasStatus(served, 'a', 'paused');
    await driver.shows(driver.page.locator('.view-head'), 'paused');
    expect(await driver.dialog().count()).toBe(1);
    // Somebody else is faster.
    await client.terminate('a');
    await driver.dialog().getByRole('button', { name: 'End the run now' }).click();
    await driver.shows(driver.dialog(), 'Error 409');
    await driver.dialog().getByRole('button', { name: 'Close' }).click();
    await driver.shows(driver.page.locator('.view-head'), 'cancelled');
  });

  it('counts the runs of a group of failures before it retries them, and stays read-only when told', async () => {
    const served = await driver.serve();
    const { client, url } = served;
    await client.startMany(Checkout, [{ amount: 500 }, { amount: 501 }, { amount: 502 }]);
    await waitFor(async () => (await client.count({ status: 'failed' })) === 3);
    await driver.open(`${url}/workflow/dashboard#/failures`);
    await driver.shows(driver.page.locator('[data-group="DECLINED"]'), 'charge');
    await driver.page.getByRole('button', { name: 'Retry…' }).click();
    await driver.dialog().getByLabel('Reason').fill('because');
    await driver.dialog().getByRole('button', { name: 'Count the runs' }).click();
    await driver.dialog().locator('[data-count="3"]').waitFor();
    expect(await client.count({ status: 'failed' })).toBe(3);
    await driver.dialog().getByRole('button', { name: 'Change 3 runs' }).click();
    await driver.dialog().locator('[data-state="completed"]').waitFor();
    await driver.shows(driver.dialog(), '3 changed');
    await waitFor(async () => {
      const { runs } = await client.list({});
      const described = await Promise.all(runs.map(({ runId }) => client.describe(runId)));
      return described.every(({ generation, status }) => generation === 1 && status === 'failed');
    });
    const [run] = (await client.list({})).runs;
    await driver.page.goto('about:blank');
    await closeApplications();
    const closed = await driver.serve({ guards: [], readOnly: true });
    await driver.open(`${closed.url}/workflow/dashboard#/runs/${run!.runId}`);
    await driver.shows(driver.page.locator('.side'), 'read-only');
    await driver.page.locator('li[data-step="charge"] .timeline-label').click();
    await driver.shows(driver.page.locator('.step-details'), 'declined');
    expect(await driver.page.getByRole('button', { name: /…$/ }).count()).toBe(0);
  });

  it('works on Fastify, under a global prefix, behind a proxy with a path of its own', async () => {
    const served = await driver.serve(undefined, {
      platform: 'fastify',
      prepare: (app) => app.setGlobalPrefix('internal', { exclude: [{ path: 'health', method: RequestMethod.GET }] }),
    });
    const { client, url } = served;
    await client.start(Checkout, { amount: 1 }, { id: 'a/b' });
    await waits(served, 'a/b');
    const proxy = await startProxy(url, '/shop/admin');
    try {
      const { port } = proxy.address() as AddressInfo;
      await driver.open(`http://127.0.0.1:${port}/shop/admin/internal/workflow/dashboard`);
      await driver.row('a/b').getByRole('link', { name: 'a/b' }).click();
      await driver.act('Terminate', 'End the run now', { Reason: 'behind a proxy' });
      await driver.shows(driver.page.locator('.view-head'), 'cancelled');
      const { entries } = await client.history('a/b');
      expect(entries.find(({ kind }) => kind === 'terminated')?.data).toMatchObject({ actor: 'ann', reason: 'behind a proxy' });
    } finally {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    }
  });

  itWithNginx('works behind nginx, which compresses answers and takes a path away', async () => {
    const served = await driver.serve(undefined, { prepare: (app) => app.setGlobalPrefix('internal') });
    const { client, url } = served;
    await client.start(Checkout, { amount: 1 }, { id: 'a/b' });
    await waits(served, 'a/b');
    const nginx = await Nginx.start(Number(new URL(url).port));
    try {
      const page = `${nginx.url}/shop/admin/internal/workflow/dashboard`;
      const api = `${page}/api/openapi.json`;
      const compressed = await fetch(api, { headers: { 'accept-encoding': 'gzip' } });
      const etag = compressed.headers.get('etag')!;
      expect([compressed.headers.get('content-encoding'), etag]).toEqual(['gzip', expect.stringMatching(/^W\//)]);
      expect((await fetch(api, { headers: { 'accept-encoding': 'gzip', 'if-none-match': etag } })).status).toBe(304);
      // The address with a slash at its end leads to the one without, below the path of the proxy.
      await driver.open(`${page}/`);
      expect(driver.page.url()).toBe(page);
      await driver.row('a/b').getByRole('link', { name: 'a/b' }).click();
      await driver.act('Terminate', 'End the run now', { Reason: 'behind nginx' });
      await hasStatus(served, 'a/b', 'cancelled');
    } finally {
      await driver.page.goto('about:blank');
      await nginx.stop();
    }
  });

  /** Starts a reverse proxy that takes a path away, as an ingress does. */
  async function startProxy(target: string, path: string): Promise<Server> {
    const proxy = createServer((incoming, outgoing) => {
      if (!incoming.url!.startsWith(`${path}/`)) return void outgoing.writeHead(404).end();
      const address = target + incoming.url!.slice(path.length);
      const headers = { ...incoming.headers, host: new URL(target).host };
      const forwarded = httpRequest(address, { method: incoming.method!, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      forwarded.on('error', () => outgoing.destroy());
      incoming.pipe(forwarded);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    return proxy;
  }
});
