import { setTimeout as pause } from 'node:timers/promises';

import type { WorkflowClient } from 'nestjs-durable';

import { AssistantWorkflow, CatalogueWorkflow, decided, ImportWorkflow, OrderWorkflow, ReminderWorkflow } from './shop.workflows.js';

const CUSTOMERS = ['ann', 'bob', 'carol', 'dave', 'erin', 'mallory'];
const ITEMS = ['book', 'lamp', 'chair', 'desk', 'piano', 'clock'];

/** Starts runs of all kinds, until it is told to stop. */
export class Traffic {
  private isStopped = false;
  private count = 0;

  constructor(private readonly client: WorkflowClient) {}

  /** Starts some runs of each kind at once, so that the dashboard shows runs from the start. */
  async begin(): Promise<void> {
    const { client } = this;
    for (let turn = 0; turn < 24; turn++) await this.order();
    await client.startMany(
      ReminderWorkflow,
      [3, 7, 14].map((days) => ({ days })),
      { tags: { campaign: 'spring' } },
    );
    await client.start(CatalogueWorkflow, { pages: 8 }, { id: `catalogue-${this.count}`, tags: { campaign: 'spring' } });
    for (const file of ['prices.csv', 'stock.zip', 'orders.zip', 'names.csv'])
      await client.start(ImportWorkflow, { file }, { tags: { partner: 'acme' } });
    await client.start(AssistantWorkflow, { question: 'Where is my order?' });
    const paused = await client.start(ReminderWorkflow, { days: 30 }, { tags: { customer: 'erin' } });
    await client.pause(paused.runId, { actor: 'ann', reason: 'the customer asked for silence' });
  }

  /** Starts a run every second or two. */
  async continue(): Promise<void> {
    while (!this.isStopped) {
      await pause(700 + Math.random() * 1_500);
      if (this.isStopped) return;
      await this.order();
      if (this.count % 9 === 0) await this.client.start(AssistantWorkflow, { question: 'Where is my order?' });
      if (this.count % 14 === 0) await this.client.start(CatalogueWorkflow, { pages: 4 });
      if (this.count % 11 === 0) await this.client.start(ImportWorkflow, { file: this.count % 2 === 0 ? 'stock.zip' : 'prices.csv' });
      await this.decide();
    }
  }

  stop(): void {
    this.isStopped = true;
  }

  private async order(): Promise<void> {
    const number = this.count++;
    const customer = CUSTOMERS[number % CUSTOMERS.length]!;
    const items = [ITEMS[number % 5 === 4 ? 4 : number % 4]!, ITEMS[5]!].slice(0, 1 + (number % 2));
    const cents = number % 8 === 3 ? 129_900 : 1_900 + 100 * number;
    await this.client.start(OrderWorkflow, { customer, items, cents }, { id: `order-${1_000 + number}`, tags: { customer } });
  }

  /** Approves the oldest order that waits, when more than three of them wait. */
  private async decide(): Promise<void> {
    const { runs } = await this.client.list({ name: 'order', status: 'waiting', limit: 20 });
    const waiting = runs.filter(({ wakeAt }) => wakeAt !== undefined && wakeAt.getTime() - Date.now() > 60_000);
    const oldest = waiting.length > 3 ? waiting.at(-1) : undefined;
    if (oldest) await this.client.signal(oldest.runId, decided, { by: 'carol', isApproved: true });
  }
}
