import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';

import { RequestMethod, type INestApplication } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { Browser, Locator, Page } from 'playwright-core';

import type { DashboardOptions } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { describeWithChromium, launchChromium } from '../support/chromium.js';
import { serveDashboard, type DashboardApplication } from '../support/dashboard-application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import type { HttpPlatform } from '../support/http-platforms.js';
import { seconds, waitFor } from '../support/wait.js';
import { approved, Checkout, HOSTILE, MARKUP, Parent } from './dashboard-workflows.js';

/** Folder of the screenshots. */
const PICTURES = 'build/screenshots';

const AXE = readFileSync(createRequire(__filename).resolve('axe-core/axe.min.js'), 'utf8');

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

describeWithChromium('the dashboard in Chromium', () => {
  let database: TestDatabase;
  let browser: Browser;
  let page: Page;
  /** Errors of the console: thrown errors, refused files and violations of the policy. */
  let problems: string[];

  beforeAll(async () => {
    browser = await launchChromium();
    mkdirSync(PICTURES, { recursive: true });
  });
  beforeEach(async () => {
    database = await createTestDatabase();
    problems = [];
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(seconds(30));
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      // Refusals by the API are part of some tests.
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) problems.push(message.text());
    });
  });
  afterEach(async () => {
    await page.close();
    await closeApplications();
    await database.drop();
    expect(problems).toEqual([]);
  });
  afterAll(() => browser?.close());

  const serve = (
    options: DashboardOptions = { guards: [], actor: () => 'ann' },
    more: { platform?: HttpPlatform; prepare?: (app: INestApplication) => void } = {},
  ): Promise<DashboardApplication> => serveDashboard(database.url, options, [Checkout, Parent], more);

  const waits = ({ client }: DashboardApplication, runId: string): Promise<unknown> =>
    waitFor(async () => (await client.describe(runId)).waits.some(({ kind }) => kind === 'signal'));

  const hasStatus = ({ client }: DashboardApplication, runId: string, status: string): Promise<unknown> =>
    waitFor(async () => (await client.status(runId)) === status, { message: `status ${status} of ${runId}` });

  /** Waits until the page shows its data. */
  const loaded = async (): Promise<void> => {
    await page.locator('h1, .empty').first().waitFor();
    await waitFor(async () => (await page.locator('.skeleton').count()) === 0, { message: 'the data of the view' });
  };

  const open = async (address: string): Promise<void> => {
    await page.goto(address);
    await loaded();
  };

  const row = (runId: string): Locator => page.locator(`tr[data-run="${runId}"]`);
  const shows = (locator: Locator, text: string): Promise<unknown> =>
    waitFor(async () => (await locator.innerText()).includes(text), { message: `"${text}" on the page` });
  const dialog = (): Locator => page.locator('dialog[open]');

  /** Opens the dialog of an action, fills its fields, and confirms. */
  const act = async (label: string, confirm: string, fields: Readonly<Record<string, string>> = {}): Promise<void> => {
    await page.getByRole('button', { name: `${label}…`, exact: true }).click();
    for (const [name, value] of Object.entries(fields)) await dialog().getByLabel(name, { exact: false }).fill(value);
    await dialog().getByRole('button', { name: confirm, exact: true }).click();
    await waitFor(async () => (await dialog().count()) === 0, { message: `the dialog of ${label} to close` });
  };

  const expectAccessible = async (view: string): Promise<void> => {
    await page.evaluate(`${AXE}; undefined`);
    const violations = await page.evaluate<Violation[]>('axe.run(document).then(({ violations }) => violations)');
    const found = violations.map(
      ({ id, nodes }) => `${view}: ${id} ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`,
    );
    expect(found).toEqual([]);
  };

  it('shows every view accessibly, in light and dark, and on a phone without scrolling sideways', async () => {
    const served = await serve();
    const { client, url } = served;
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
      workers: '#/workers',
      health: '#/health',
    };
    for (const [name, hash] of Object.entries(views)) {
      await open(`${url}/workflow/dashboard${hash}`);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await expectAccessible(`${name} in ${colorScheme}`);
        await page.screenshot({ path: `${PICTURES}/dashboard-${name}-${colorScheme}.png`, animations: 'disabled' });
      }
      await page.setViewportSize({ width: 360, height: 740 });
      expect([name, await page.evaluate('document.documentElement.scrollWidth <= innerWidth')]).toEqual([name, true]);
      await page.screenshot({ path: `${PICTURES}/dashboard-${name}-phone.png`, animations: 'disabled' });
      await page.setViewportSize({ width: 1280, height: 900 });
    }
    await open(`${url}/workflow/dashboard#/runs`);
    await page.keyboard.press('?');
    await expectAccessible('the list of keys');
    await page.keyboard.press('Escape');
    await waitFor(async () => (await dialog().count()) === 0);
    await page.emulateMedia({ media: 'print' });
    expect(await page.locator('.side').isVisible()).toBe(false);
  });

  it('updates the list and the run as they change', async () => {
    const served = await serve();
    const { client, url } = served;
    await open(`${url}/workflow/dashboard`);
    await shows(page.locator('main'), 'There are no runs yet');
    await client.start(Checkout, { amount: 1 }, { id: 'first' });
    await row('first').waitFor();
    await shows(row('first'), 'waiting');
    await row('first').getByRole('link', { name: 'first' }).click();
    await page.locator('li[data-step="signal:approved"] .bar[data-state="open"]').waitFor();
    await shows(page.locator('.notice.waiting'), 'for signal "approved"');
    await shows(page.locator('.stream'), 'charged');
    await client.signal('first', approved, { by: 'bob' });
    await shows(page.locator('.view-head'), 'completed');
    await shows(page.locator('.payload', { hasText: 'Output' }), '"by": "bob"');
    await page.locator('li[data-step="signal:approved"] .bar[data-state="completed"]').waitFor();
    expect(await page.locator('li[data-step="prepare"] .bar-failure').count()).toBe(1);
  });

  it('keeps filters in the address, follows the back button, and moves by keys', async () => {
    const served = await serve();
    const { client, url } = served;
    await client.start(Checkout, { amount: 500 }, { id: 'one', tags: { customer: 'a,b' } });
    await client.start(Checkout, { amount: 500 }, { id: 'two' });
    await hasStatus(served, 'one', 'failed');
    await hasStatus(served, 'two', 'failed');
    await open(`${url}/workflow/dashboard#/runs`);
    await row('two').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('tag:customer=a,b after:1h');
    await page.keyboard.press('Enter');
    await waitFor(async () => (await page.locator('tr[data-run]').count()) === 1);
    expect(page.url()).toContain('tag=customer%3Da%2Cb&createdAfter=1h');
    await page.reload();
    await row('one').waitFor();
    expect(await row('two').count()).toBe(0);
    await page.getByRole('button', { name: 'Remove tag customer=a,b' }).click();
    await row('two').waitFor();
    await page.goBack();
    await waitFor(async () => (await row('two').count()) === 0);
    await page.goForward();
    await row('two').waitFor();
    await page.locator('h1').click();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('k');
    const focused = await page.evaluate<string>('document.activeElement.textContent');
    await page.keyboard.press('Enter');
    await waitFor(() => page.url().endsWith(`#/runs/${focused}`));
    await page.keyboard.press('g');
    await page.keyboard.press('f');
    await waitFor(() => page.url().endsWith('#/failures'));
    // A search for an id opens the run.
    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await row('one').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('one');
    await page.keyboard.press('Enter');
    await waitFor(() => page.url().endsWith('#/runs/one'));
    await page.goto(`${url}/workflow/dashboard#/runs?createdAfter=2months`);
    await shows(page.locator('main'), 'must be a time such as');
  });

  it('goes through pages by cursor', async () => {
    const served = await serve();
    const { client, url } = served;
    await client.startMany(
      Checkout,
      Array.from({ length: 60 }, () => ({ amount: 500 })),
    );
    await waitFor(async () => (await client.count({ status: 'failed' })) === 60);
    await open(`${url}/workflow/dashboard#/runs?status=failed`);
    await waitFor(async () => (await page.locator('tr[data-run]').count()) === 50);
    await page.keyboard.press('n');
    await waitFor(async () => (await page.locator('tr[data-run]').count()) === 10);
    expect(page.url()).toContain('cursor=');
    await page.keyboard.press('p');
    await waitFor(async () => (await page.locator('tr[data-run]').count()) === 50);
  });

  it('shows hostile texts as texts', async () => {
    const served = await serve();
    const { client, url } = served;
    const id = `x ${MARKUP}/%2F?#`;
    await client.start(Checkout, { amount: 1, note: HOSTILE }, { id, tags: { [MARKUP]: MARKUP } });
    await client.start(Checkout, { amount: 500, note: HOSTILE }, { id: 'fails' });
    await waits(served, id);
    await hasStatus(served, 'fails', 'failed');
    await open(`${url}/workflow/dashboard#/runs/${encodeURIComponent(id)}`);
    await shows(page.locator('.payload', { hasText: 'Input' }), '<script>window.hacked=1</script>\\u{202e}gnp.exe\\u{200b}');
    await shows(page.locator('.stream'), '<img src=x onerror=');
    await open(`${url}/workflow/dashboard#/runs/fails`);
    await shows(page.locator('.error-panel'), '<script>window.hacked=1</script>');
    await open(`${url}/workflow/dashboard#/runs`);
    await row('fails').waitFor();
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(await page.locator('main img, main script').count()).toBe(0);
  });

  it('makes each change after a question, with the user and the reason', async () => {
    const served = await serve();
    const { client, url } = served;
    const view = (runId: string): Promise<void> => open(`${url}/workflow/dashboard#/runs/${runId}`);
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
    await page.getByRole('button', { name: 'Cancel…' }).click();
    await waitFor(() => page.evaluate<boolean>(`document.activeElement.matches('dialog[open] input')`));
    await page.keyboard.press('Escape');
    await waitFor(async () => (await dialog().count()) === 0);
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Cancel…');
    expect((await client.describe('a')).cancelRequestedAt).toBeUndefined();

    await act('Pause', 'Pause the run', reason);
    await hasStatus(served, 'a', 'paused');
    await noted('a', 'paused');
    await act('Resume', 'Resume the run', reason);
    await waits(served, 'a');
    await noted('a', 'resumed');
    // A payload that is not JSON is refused before it is sent.
    await page.getByRole('button', { name: 'Signal…' }).click();
    await dialog().getByLabel('Payload').fill('{by}');
    await dialog().getByRole('button', { name: 'Send the signal' }).click();
    await shows(dialog(), 'is not JSON');
    await dialog().getByLabel('Payload').fill('{"by":"bob"}');
    await dialog().getByRole('button', { name: 'Send the signal' }).click();
    await hasStatus(served, 'a', 'completed');
    await waitFor(async () => (await dialog().count()) === 0);
    await page.locator('li[data-step="prepare"] .timeline-label').click();
    await act('Fork from here', 'Start the fork', reason);
    await waitFor(() => !page.url().includes('#/runs/a'));
    const fork = decodeURIComponent(page.url().split('#/runs/')[1]!);
    expect((await client.describe(fork)).forkedFrom).toBe('a');
    await noted(fork, 'forked');

    await view('b');
    await act('Cancel', 'Cancel the run', reason);
    await hasStatus(served, 'b', 'cancelled');
    await noted('b', 'cancel_requested');
    await view('c');
    await act('Terminate', 'End the run now', reason);
    await hasStatus(served, 'c', 'cancelled');
    await noted('c', 'terminated');
    await act('Delete', 'Delete the run', reason);
    await expect(client.status('c')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });

    await client.start(Checkout, { amount: 500 }, { id: 'd' });
    await hasStatus(served, 'd', 'failed');
    await view('d');
    await act('Retry', 'Retry the run', reason);
    await waitFor(async () => (await client.describe('d')).generation === 1 && (await client.status('d')) === 'failed');
    await noted('d', 'retried');
    await page.locator('li[data-step="charge"] .timeline-label').click();
    await act('Set the result', 'Set the result', { Output: '{"id":"by hand"}', Reason: 'because' });
    await waits(served, 'd');
    await noted('d', 'step_resolved');
  });

  it('does not let a slow change close the next dialog, and shows why a change was refused', async () => {
    const served = await serve();
    const { client, url } = served;
    await client.start(Checkout, { amount: 1 }, { id: 'a' });
    await waits(served, 'a');
    await open(`${url}/workflow/dashboard#/runs/a`);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    await page.route('**/pause', async (route) => {
      await held;
      await route.continue();
    });
    await page.getByRole('button', { name: 'Pause…' }).click();
    await dialog().getByRole('button', { name: 'Pause the run' }).click();
    await shows(dialog(), 'Working…');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Terminate…' }).click();
    release();
    await hasStatus(served, 'a', 'paused');
    await shows(page.locator('.view-head'), 'paused');
    expect(await dialog().count()).toBe(1);
    // Somebody else is faster.
    await client.terminate('a');
    await dialog().getByRole('button', { name: 'End the run now' }).click();
    await shows(dialog(), 'Error 409');
    await dialog().getByRole('button', { name: 'Close' }).click();
    await shows(page.locator('.view-head'), 'cancelled');
  });

  it('counts the runs of a group of failures before it retries them, and stays read-only when told', async () => {
    const served = await serve();
    const { client, url } = served;
    await client.startMany(Checkout, [{ amount: 500 }, { amount: 501 }, { amount: 502 }]);
    await waitFor(async () => (await client.count({ status: 'failed' })) === 3);
    await open(`${url}/workflow/dashboard#/failures`);
    await shows(page.locator('[data-group="DECLINED"]'), 'charge');
    await page.getByRole('button', { name: 'Retry…' }).click();
    await dialog().getByLabel('Reason').fill('because');
    await dialog().getByRole('button', { name: 'Count the runs' }).click();
    await dialog().locator('[data-count="3"]').waitFor();
    expect(await client.count({ status: 'failed' })).toBe(3);
    await dialog().getByRole('button', { name: 'Change 3 runs' }).click();
    await dialog().locator('[data-state="completed"]').waitFor();
    await shows(dialog(), '3 changed');
    await waitFor(async () => {
      const { runs } = await client.list({});
      const described = await Promise.all(runs.map(({ runId }) => client.describe(runId)));
      return described.every(({ generation, status }) => generation === 1 && status === 'failed');
    });
    const [run] = (await client.list({})).runs;
    await page.goto('about:blank');
    await closeApplications();
    const closed = await serve({ guards: [], readOnly: true });
    await open(`${closed.url}/workflow/dashboard#/runs/${run!.runId}`);
    await shows(page.locator('.side'), 'read-only');
    await page.locator('li[data-step="charge"] .timeline-label').click();
    await shows(page.locator('.step-details'), 'declined');
    expect(await page.getByRole('button', { name: /…$/ }).count()).toBe(0);
  });

  it('works on Fastify, under a global prefix, behind a proxy with a path of its own', async () => {
    const served = await serve(undefined, {
      platform: 'fastify',
      prepare: (app) => app.setGlobalPrefix('internal', { exclude: [{ path: 'health', method: RequestMethod.GET }] }),
    });
    const { client, url } = served;
    await client.start(Checkout, { amount: 1 }, { id: 'a/b' });
    await waits(served, 'a/b');
    const proxy = await startProxy(url, '/shop/admin');
    try {
      const { port } = proxy.address() as AddressInfo;
      await open(`http://127.0.0.1:${port}/shop/admin/internal/workflow/dashboard`);
      await row('a/b').getByRole('link', { name: 'a/b' }).click();
      await act('Terminate', 'End the run now', { Reason: 'behind a proxy' });
      await shows(page.locator('.view-head'), 'cancelled');
      const { entries } = await client.history('a/b');
      expect(entries.find(({ kind }) => kind === 'terminated')?.data).toMatchObject({ actor: 'ann', reason: 'behind a proxy' });
    } finally {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
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
