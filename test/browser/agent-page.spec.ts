import { mkdirSync, writeFileSync } from 'node:fs';

import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { Browser, Page, Route } from 'playwright-core';

import { ModelServer } from '../../sample/08-agent/model-server.js';
import { describeWithChromium, launchChromium } from '../support/chromium.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { itWithNginx, Nginx } from '../support/nginx.js';
import { killSpawned, spawnCompiled, type SpawnedProcess } from '../support/processes.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

/** Folder of the screenshots. */
const PICTURES = 'build/screenshots';

/** Smallest contrast between a text and its background that WCAG 2 (AA) allows. */
const LEAST_CONTRAST = 4.5;

/** Expression that returns the smallest contrast of all texts of a page. */
const CONTRAST = `(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => numbers(color).slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    const color = element ? getComputedStyle(element).backgroundColor : 'rgb(255, 255, 255)';
    return numbers(color)[3] === 0 ? behind(element.parentElement) : color;
  };
  const texts = [...document.querySelectorAll('body *')].filter((each) => each.checkVisibility()
    && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ''));
  return Math.min(...texts.map((each) => {
    const [low, high] = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }));
})()`;

describeWithChromium('the page of sample/08-agent', () => {
  let database: TestDatabase;
  let browser: Browser;
  let model: ModelServer;
  let page: Page;
  let port: number;
  /** URLs of the streams that the page has opened. */
  let opened: string[];

  beforeAll(async () => {
    database = await createTestDatabase();
    browser = await launchChromium();
  });
  beforeEach(async () => {
    model = await ModelServer.start({ paceMs: 10 });
    port = await freePort();
    opened = [];
    page = await browser.newPage({ viewport: { width: 900, height: 860 } });
    page.setDefaultTimeout(seconds(30));
    page.on('request', (request) => request.url().includes('/streams/') && opened.push(request.url()));
  });
  afterEach(async () => {
    await page.close();
    await killSpawned();
    await model.close();
  });
  afterAll(async () => {
    await browser?.close();
    await database.drop();
  });

  const serve = async (): Promise<SpawnedProcess> => {
    const env = { DATABASE_URL: database.url, MODEL_URL: model.url, PORT: String(port) };
    const server = spawnCompiled('sample/08-agent/server.ts', { env });
    await server.waitForLine(/^listening/);
    return server;
  };

  const answer = (): Promise<string> => page.locator('.answer').last().innerText();
  const hasState = (state: string): Promise<unknown> => page.locator(`#state[data-state="${state}"]`).waitFor();

  /** Stores screenshots of the page, and checks that the text of each is readable. */
  const picture = async (name: string): Promise<void> => {
    mkdirSync(PICTURES, { recursive: true });
    const pictures: Buffer[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const image = await page.screenshot({ animations: 'disabled' });
      writeFileSync(`${PICTURES}/agent-${name}-${colorScheme}.png`, image);
      pictures.push(image);
      expect(await page.evaluate(CONTRAST)).toBeGreaterThanOrEqual(LEAST_CONTRAST);
    }
    expect(pictures[0]!.equals(pictures[1]!)).toBe(false);
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    writeFileSync(`${PICTURES}/agent-${name}-narrow.png`, await page.screenshot());
    await page.setViewportSize({ width: 900, height: 860 });
  };

  it('shows one whole answer after a reload and a kill -9 in mid-answer, and then does not connect again', async () => {
    const server = await serve();
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByRole('button', { name: 'Ask' }).click();
    const approve = page.getByRole('button', { name: 'Approve' });
    await approve.waitFor();
    await picture('asks');
    // The answer must not end before the kill, even on a busy machine.
    model.paceMs = 200 * PATIENCE;
    await approve.click();

    await waitFor(async () => (await answer()).includes('on their way'));
    await page.reload();
    await waitFor(async () => /working days/.test(await answer()));
    server.kill('SIGKILL');
    await hasState('away');
    model.paceMs = 10;
    await serve();
    await page.getByText('was interrupted, and begins again').waitFor();
    await hasState('done');

    expect(await page.locator('.question').allInnerTexts()).toEqual(['Order 1042 arrived broken. May I have my money back?']);
    const answers = await page.locator('.answer').allInnerTexts();
    expect(answers).toEqual([
      expect.stringMatching(/^I will look at order 1042 first\.\s*$/),
      expect.stringMatching(/^The carrier reports that it arrived broken, so a refund is due\.\s*$/),
      expect.stringMatching(/^A colleague has approved the refund, (?:(?!A colleague)[^])*anything else that I can do for you\?$/),
    ]);
    expect(await page.locator('.call[data-state="done"]').count()).toBe(2);
    expect(await page.locator('#log').getAttribute('data-restarts')).toBe('1');
    expect(model.calls.map(({ state }) => state)).toEqual(['refused', 'finished', 'finished', 'interrupted', 'finished']);
    await picture('answered');

    // A page that has seen the end needs no stream, and a page that is loaded again needs one.
    const before = opened.length;
    await page.reload();
    await hasState('done');
    expect(await page.locator('.answer').allInnerTexts()).toEqual(answers);
    expect(opened.length).toBe(before + 1);
  });

  itWithNginx('continues behind nginx, which answers 502 while the application is away', async () => {
    const server = await serve();
    const nginx = await Nginx.start(port);
    try {
      const statuses: number[] = [];
      page.on('response', (response) => response.url().includes('/streams/') && statuses.push(response.status()));
      await page.goto(nginx.url);
      await page.getByRole('button', { name: 'Ask' }).click();
      await page.getByRole('button', { name: 'Refuse' }).waitFor();
      server.kill('SIGKILL');
      await waitFor(() => statuses.includes(502));
      await serve();
      await page.getByRole('button', { name: 'Refuse' }).click();
      await hasState('done');
      expect(await page.locator('.question').count()).toBe(1);
      expect(await page.locator('.call').count()).toBe(2);
      expect(await answer()).toContain('decided against the refund');
    } finally {
      await nginx.stop();
    }
  });

  it('keeps the run that a new URL names, when the stream of the former run is refused', async () => {
    await serve();
    const held: Route[] = [];
    await page.route('**/streams/**', (route) => (route.request().method() === 'HEAD' ? void held.push(route) : route.continue()));
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.goto(`http://127.0.0.1:${port}/#unknown`);
    await waitFor(() => held.length > 0);
    await page.evaluate(`(async () => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ question: 'Order 1042 arrived broken.' });
      location.hash = (await (await fetch('questions', { method: 'POST', headers, body })).json()).runId;
    })()`);
    await page.getByRole('button', { name: 'Refuse' }).waitFor();
    const refused = page.waitForResponse((response) => response.request().method() === 'HEAD', { timeout: seconds(10) });
    await held[0]!.fulfill({ status: 403 });
    await refused;
    // The page has handled the first response when it gets the second one.
    await page.evaluate(`fetch('agent.css')`);
    expect(await page.locator('#state').getAttribute('data-state')).toBe('live');
  });

  it('shows a refusal, and refuses the run of another user', async () => {
    await serve();
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.getByRole('button', { name: 'Refuse' }).click();
    await hasState('done');
    expect(await answer()).toContain('decided against the refund');
    await page.locator('.call[data-state="refused"]').waitFor();
    const url = page.url();
    await page.context().clearCookies();
    await page.goto('about:blank');
    await page.goto(url);
    await hasState('failed');
    expect(await page.locator('#log').innerText()).toBe('');
  });
});
