import type { INestApplication } from '@nestjs/common';
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { WorkflowClient, type WorkflowHandle } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { hasChromium, launchChromium } from '../support/chromium.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { describeWithNginx, Nginx } from '../support/nginx.js';
import { waitFor } from '../support/wait.js';
import { more, Repeats, serveStreams } from './stream-application.js';

/** Number of streams that a page opens: more than the six connections that HTTP/1.1 allows it. */
const STREAMS = 8;

describeWithNginx('streams behind nginx', () => {
  let database: TestDatabase;
  let app: INestApplication;
  let nginx: Nginx;
  beforeAll(async () => {
    database = await createTestDatabase();
    const port = await freePort();
    app = await serveStreams(database.url, port);
    nginx = await Nginx.start(port);
  });
  afterAll(async () => {
    await nginx?.stop();
    await closeApplications();
    await database.drop();
  });

  const start = (): Promise<WorkflowHandle> => app.get(WorkflowClient).start(Repeats);

  /** Returns a function that reads until a text has arrived. */
  const read = async (handle: WorkflowHandle): Promise<(text: string) => Promise<void>> => {
    const headers = { accept: 'text/event-stream', 'accept-encoding': 'gzip' };
    const response = await fetch(`${nginx.url}/workflow/runs/${handle.runId}/streams/answer`, { headers });
    // nginx compresses in spite of no-transform. Each event must arrive all the same.
    expect(response.headers.get('content-encoding')).toBe('gzip');
    const reader = response.body!.getReader();
    let received = '';
    return async (text) => {
      while (!received.includes(text)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`the response ended before ${JSON.stringify(text)}, with ${JSON.stringify(received)}`);
        received += Buffer.from(value).toString();
      }
    };
  };

  it('arrive event by event, and an idle one stays open longer than nginx waits for a response', async () => {
    const idle = await start();
    const idles = (await read(idle))(':\n\n:\n\n');
    const busy = await start();
    const until = await read(busy);
    // Each signal is sent after the event of the previous signal has arrived.
    for (const word of ['one', 'two', 'three']) {
      await busy.signal(more, word);
      await until(`data: "${word}"\n`);
    }
    await busy.signal(more, 'stop');
    await until('event: end\n');
    // Two heartbeats take 30 seconds, and nginx gives up after 20 without a byte.
    await idles;
  });

  (hasChromium ? it : it.skip)(`reach a page that has ${STREAMS} of them open, over HTTP/2`, async () => {
    const browser = await launchChromium();
    try {
      const page = await browser.newPage({ ignoreHTTPSErrors: true });
      await page.goto(nginx.secureUrl);
      const handles = await Promise.all(Array.from({ length: STREAMS }, start));
      const urls = handles.map(({ runId }) => `/workflow/runs/${runId}/streams/answer`);
      await page.evaluate(`
        window.got = [];
        window.sources = ${JSON.stringify(urls)}.map((url) => new EventSource(url));
        sources.forEach((source, index) => source.addEventListener('message', ({ data }) => got.push(index + JSON.parse(data))));
        undefined`);
      await waitFor(async () => (await page.evaluate('sources.filter(({ readyState }) => readyState === 1).length')) === STREAMS);
      await Promise.all(handles.map((handle) => handle.signal(more, ' is here')));
      const expected = handles.map((_, index) => `${index} is here`);
      await waitFor(() => page.evaluate<boolean>(`got.length >= ${STREAMS}`));
      expect(await page.evaluate('got.toSorted()')).toEqual(expected);
    } finally {
      await browser.close();
    }
  });
});
