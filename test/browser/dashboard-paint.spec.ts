import { expect, it } from '@jest/globals';

import { describeWithChromium } from '../support/chromium.js';
import { fillDatabase } from '../support/large-database.js';
import { seconds, waitFor } from '../support/wait.js';
import { DashboardDriver } from './dashboard-driver.js';
import { Checkout } from './dashboard-workflows.js';

/** Number of runs; DURABLE_LARGE_RUNS=1000000 for the long form. */
const RUNS = Number(process.env['DURABLE_LARGE_RUNS'] ?? 20_000);

const VIEWS = ['runs', 'runs?status=cancelled', 'runs/100', 'workflows', 'failures', 'queues', 'events', 'workers', 'health'];

describeWithChromium('the dashboard beside many runs', () => {
  const driver = new DashboardDriver([Checkout]);

  it(`paints each view soon beside ${RUNS} runs`, async () => {
    const { url } = await driver.serve();
    await fillDatabase(driver.database, RUNS);
    const paints: number[] = [];
    const complete: number[] = [];
    for (const view of VIEWS) {
      // An address that differs only behind the "#" would not load the page again.
      await driver.page.goto('about:blank');
      await driver.open(`${url}/workflow/dashboard#/${view}`);
      complete.push(await driver.page.evaluate<number>('performance.now()'));
      const paint = (): Promise<number> =>
        driver.page.evaluate<number>(`performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0`);
      await waitFor(async () => (await paint()) > 0, { message: `the first paint of ${view}` });
      paints.push(await paint());
    }
    const inWords = (times: number[]): string => times.map((time) => Math.round(time)).join(', ');
    console.log(`first paint of ${VIEWS.join(', ')}: ${inWords(paints)} ms; with data (by a poll of the test): ${inWords(complete)} ms`);
    // The bound only finds a page that waits for its data. The printed times are what counts.
    expect(Math.max(...paints)).toBeLessThan(seconds(10));
    await driver.page.goto(`${url}/workflow/dashboard#/runs?status=cancelled`);
    if (RUNS > 20_000) await driver.shows(driver.page.locator('main'), 'No run matches so far');
    else await driver.shows(driver.page.locator('main'), 'No run matches the filter');
  });
});
