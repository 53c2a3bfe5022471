import type { INestApplication } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';

import { WorkflowClient } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { describeWithChromium, launchChromium } from '../support/chromium.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { seconds, waitFor } from '../support/wait.js';
import { more, Repeats, serveStreams, type SeenRequest } from './stream-application.js';

describeWithChromium('an EventSource of Chromium', () => {
  let database: TestDatabase;
  let browser: Browser;
  let page: Page;
  let port: number;
  let requests: SeenRequest[];
  beforeAll(async () => {
    database = await createTestDatabase();
    browser = await launchChromium();
  });
  beforeEach(async () => {
    port = await freePort();
    requests = [];
    page = await browser.newPage();
    page.setDefaultTimeout(seconds(30));
  });
  afterEach(async () => {
    await page.close();
    await closeApplications();
  });
  afterAll(async () => {
    await browser?.close();
    await database.drop();
  });

  const serve = (): Promise<INestApplication> => serveStreams(database.url, port, requests);

  /** Opens an EventSource that the page never closes. */
  const open = (runId: string): Promise<unknown> =>
    page.evaluate(`
      window.got = [];
      window.source = new EventSource('/workflow/runs/${runId}/streams/answer');
      for (const type of ['message', 'reset', 'end'])
        source.addEventListener(type, ({ data, lastEventId }) => got.push([type, lastEventId, JSON.parse(data)]));
      undefined`);
  const got = (): Promise<unknown[]> => page.evaluate('got');
  const readyState = (): Promise<unknown> => page.evaluate('source.readyState');

  /** Returns the requests when the responses to all of them have ended. */
  const ended = async (): Promise<SeenRequest[]> => {
    await waitFor(() => requests.every(({ status }) => status !== undefined));
    return requests;
  };

  it('stops after the end of a stream, because its next request is answered with 204', async () => {
    const app = await serve();
    await page.goto(`http://127.0.0.1:${port}/`);
    const handle = await app.get(WorkflowClient).start(Repeats);
    await open(handle.runId);
    for (const word of ['one', 'two', 'stop']) await handle.signal(more, word);
    // 2 is CLOSED: the browser will not connect again.
    await waitFor(async () => (await readyState()) === 2);
    expect(await got()).toEqual([
      ['message', '0', 'one'],
      ['message', '1', 'two'],
      ['end', '2-end', { state: 'completed' }],
    ]);
    expect(await ended()).toEqual([
      { lastEventId: undefined, status: 200 },
      { lastEventId: '2-end', status: 204 },
    ]);
  });

  it('continues after a deployment in mid-stream: each chunk once, in order', async () => {
    const first = await serve();
    await page.goto(`http://127.0.0.1:${port}/`);
    const { runId } = await first.get(WorkflowClient).start(Repeats);
    await open(runId);
    await first.get(WorkflowClient).getHandle(Repeats, runId).signal(more, 'before');
    await waitFor(async () => (await got()).length === 1);
    await closeApplications();
    await waitFor(async () => (await readyState()) === 0);
    const client = (await serve()).get(WorkflowClient);
    const handle = client.getHandle(Repeats, runId);
    for (const word of ['after', 'stop']) await handle.signal(more, word);
    await waitFor(async () => (await readyState()) === 2);
    expect(await got()).toEqual([
      ['message', '0', 'before'],
      ['message', '1', 'after'],
      ['end', '2-end', { state: 'completed' }],
    ]);
    expect((await ended()).at(1)).toEqual({ lastEventId: '0', status: 200 });
  });

  it('gives up at once when the run does not exist', async () => {
    await serve();
    await page.goto(`http://127.0.0.1:${port}/`);
    await open('unknown');
    await waitFor(async () => (await readyState()) === 2);
    expect(await ended()).toEqual([{ lastEventId: undefined, status: 404 }]);
  });
});
