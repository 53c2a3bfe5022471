import { expect, it } from '@jest/globals';

import {
  AssistantWorkflow,
  CatalogueWorkflow,
  ImportWorkflow,
  OrderWorkflow,
  Payments,
  PictureWorkflow,
  ReceiptWorkflow,
  ReminderWorkflow,
} from '../../sample/10-dashboard/shop.workflows.js';
import { Traffic } from '../../sample/10-dashboard/traffic.js';
import { describeWithChromium } from '../support/chromium.js';
import { waitFor } from '../support/wait.js';
import { DashboardDriver, PICTURES } from './dashboard-driver.js';

const QUEUES = { graphics: { concurrency: 2 }, partners: { rateLimit: { limit: 30, period: '1 minute' } } } as const;

/**
 * With DURABLE_PICTURES=1, orders arrive one by one before the pictures are taken, as in the
 * sample. The pictures of README.md are made so, and copied from build/screenshots.
 */
const IS_FOR_DOCS = process.env['DURABLE_PICTURES'] !== undefined;

describeWithChromium('pictures of the dashboard of sample/10-dashboard', () => {
  const driver = new DashboardDriver([
    AssistantWorkflow,
    CatalogueWorkflow,
    ImportWorkflow,
    OrderWorkflow,
    Payments,
    PictureWorkflow,
    ReceiptWorkflow,
    ReminderWorkflow,
  ]);

  it('are taken of each view, in light and dark', async () => {
    const { client, url } = await driver.serve(undefined, { options: { queues: QUEUES, logFailures: false } });
    const traffic = new Traffic(client);
    await traffic.begin();
    // A piano and a clock are paid for and packed, cannot be sent, and are refunded.
    const piano = 'order-1009';
    await waitFor(async () => (await client.status(piano)) === 'failed');
    await waitFor(async () => (await client.count({ name: 'order', status: 'completed' })) > 10);
    if (IS_FOR_DOCS) {
      const continued = traffic.continue();
      await waitFor(async () => (await client.count({ name: 'order' })) > 40);
      traffic.stop();
      await continued;
    } else await traffic.begin();
    await driver.page.setViewportSize({ width: 1180, height: 720 });
    const views = {
      runs: 'runs',
      run: `runs/${piano}?step=book+carrier`,
      catalogue: 'runs/catalogue-24',
      ...Object.fromEntries(['workflows', 'failures', 'queues', 'schedules', 'events', 'workers', 'health'].map((view) => [view, view])),
    };
    for (const [name, hash] of Object.entries(views)) {
      await driver.open(`${url}/workflow/dashboard#/${hash}`);
      for (const colorScheme of ['light', 'dark'] as const) {
        await driver.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        const picture = await driver.page.screenshot({ path: `${PICTURES}/shop-${name}-${colorScheme}.png`, animations: 'disabled' });
        expect(picture.length).toBeGreaterThan(10_000);
      }
    }
  });
});
