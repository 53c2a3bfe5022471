import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import type { NestApplicationOptions, Provider, INestApplication } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';

import { WorkflowClient, WorkflowModule, type WorkflowModuleOptions } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeLater } from './closing.js';

/** An application that QStash drives over HTTP. */
export interface PushedApplication {
  readonly app: INestApplication;
  readonly module: TestingModule;
  readonly client: WorkflowClient;
  readonly qstash: QStashEmulator;
  readonly targetUrl: string;
  /** Has QStash call the sweep, as its schedule would. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/** What a test says about an application beside its workflows. */
export interface PushedSettings {
  readonly options?: Omit<WorkflowModuleOptions, 'connection'>;
  readonly nest?: NestApplicationOptions;
  /** Where several applications share one. */
  readonly qstash?: QStashEmulator;
  readonly configure?: (app: INestApplication) => void;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Boots an application that listens, with `transport: 'qstash'`, against a QStash of its own. */
export async function startPushed(url: string, providers: Provider[], settings: PushedSettings = {}): Promise<PushedApplication> {
  const { options = {}, nest, configure } = settings;
  const qstash = settings.qstash ?? (await QStashEmulator.start());
  const port = await freePort();
  const targetUrl = `http://127.0.0.1:${port}`;
  const { url: apiUrl, token, currentSigningKey, nextSigningKey } = qstash;
  const module = await Test.createTestingModule({
    imports: [
      WorkflowModule.forRoot({
        transport: 'qstash',
        ...options,
        connection: { url },
        qstash: { url: apiUrl, token, currentSigningKey, nextSigningKey, targetUrl, ...options.qstash },
      }),
    ],
    providers,
  }).compile();
  const app = module.createNestApplication({ rawBody: true, ...nest });
  app.useLogger(process.env['DURABLE_TEST_LOG'] ? ['log', 'warn', 'error'] : false);
  configure?.(app);
  await app.listen(port, '127.0.0.1');
  const close = async (): Promise<void> => {
    await app.close();
    if (!settings.qstash) await qstash.close();
  };
  const closing = closeLater({ close });
  const sweep = async (): Promise<void> => {
    const response = await fetch(`${apiUrl}/v2/publish/${targetUrl}/workflow/qstash/sweep`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    });
    if (!response.ok) throw new Error(`the sweep was not taken: ${response.status}`);
  };
  return { app, module, client: app.get(WorkflowClient), qstash, targetUrl, sweep, close: () => closing.close() };
}
