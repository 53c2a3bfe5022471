import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';
import { QStashEmulator, type QStashFaults, type QStashMessageRecord } from 'nestjs-durable/testing';

import { freePort } from '../support/free-port.js';
import { WORKFLOWS } from './workflows.js';

@Module({})
class PushedModule {}

/** The package in an application without a worker, which a QStash calls over HTTP. */
export interface PushedApplication {
  readonly client: WorkflowClient;
  readonly qstash: QStashEmulator;
  /** Wake-ups of runs that QStash has accepted; those of the sweep are not among them. */
  wakeUps(): readonly QStashMessageRecord[];
  /** Attempts to deliver them that QStash repeats, now or later. */
  failedAttempts(): number;
  /** Has QStash call the sweep, once. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

export async function startPushed(url: string, faults: QStashFaults): Promise<PushedApplication> {
  const qstash = await QStashEmulator.start();
  const port = await freePort();
  const { url: apiUrl, token, currentSigningKey, nextSigningKey } = qstash;
  const targetUrl = `http://127.0.0.1:${port}`;
  const deliveryUrl = `${targetUrl}/workflow/qstash`;
  // On New Year's Day: a sweep each minute would fall into some measurements and not into others.
  const sweep = { cron: '0 0 1 1 *' };
  const settings = { url: apiUrl, token, currentSigningKey, nextSigningKey, targetUrl, sweep };
  const workflows = WorkflowModule.forRoot({ transport: 'qstash', connection: { url }, qstash: settings });
  const module = { module: PushedModule, imports: [workflows], providers: WORKFLOWS };
  const app = await NestFactory.create(module, { rawBody: true, logger: ['error'], abortOnError: false });
  await app.listen(port, '127.0.0.1');
  qstash.setFaults(faults);
  return {
    client: app.get(WorkflowClient),
    qstash,
    wakeUps: () => qstash.messages.filter((message) => message.url === deliveryUrl),
    failedAttempts: () =>
      qstash.deliveries.filter(
        ({ url, duplicate, outcome }) => url === deliveryUrl && !duplicate && (outcome === 'failed' || outcome === 'unacknowledged'),
      ).length,
    sweep: () => callSweep(qstash, `${deliveryUrl}/sweep`),
    close: async () => {
      await app.close();
      await qstash.close();
    },
  };
}

/** Subject to all faults, as every message. Resolves when this one has come to something. */
async function callSweep(qstash: QStashEmulator, address: string): Promise<void> {
  const headers = { authorization: `Bearer ${qstash.token}` };
  const response = await fetch(`${qstash.url}/v2/publish/${address}`, { method: 'POST', headers });
  const { messageId } = (await response.json()) as { messageId?: string };
  const isUnderWay = (): boolean =>
    qstash.messages.some((message) => message.messageId === messageId && ['pending', 'delivering'].includes(message.state));
  while (isUnderWay()) await new Promise((resolve) => setTimeout(resolve, 10));
}
