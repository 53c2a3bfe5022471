import type { NestApplicationOptions, Provider, INestApplication, LoggerService, ModuleMetadata } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';

import { WorkflowClient, WorkflowModule, type WorkflowModuleOptions } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeLater } from './closing.js';
import { freePort } from './free-port.js';

/** An application that QStash drives over HTTP. */
export interface PushedApplication {
  readonly app: INestApplication;
  readonly module: TestingModule;
  readonly client: WorkflowClient;
  readonly qstash: QStashEmulator;
  readonly targetUrl: string;
  /** The URL on which the application listens. */
  readonly ownUrl: string;
  /** Has QStash call the sweep, as its schedule would. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/** Settings of a test's application beside its workflows. */
export interface PushedSettings {
  readonly options?: Omit<WorkflowModuleOptions, 'connection'>;
  readonly nest?: NestApplicationOptions;
  /** The QStash that several applications share. */
  readonly qstash?: QStashEmulator;
  /** The address that QStash delivers to, where that is not the application's own. */
  readonly targetUrl?: string;
  /** Modules that the application imports before ours. */
  readonly imports?: NonNullable<ModuleMetadata['imports']>;
  readonly configure?: (app: INestApplication) => void;
  /** Default: Express. */
  readonly adapter?: AbstractHttpAdapter;
  /** From the first line of the boot on. */
  readonly logger?: LoggerService;
  /** The port of the previous application, whose messages are still under way. */
  readonly port?: number;
}

/** A test that happens to run at a full minute must not be swept by anybody but itself. */
const ON_NEW_YEARS_DAY = { cron: '0 0 1 1 *' };

/** Boots an application that listens, with `transport: 'qstash'`, against a QStash of its own. */
export async function startPushed(url: string, providers: Provider[], settings: PushedSettings = {}): Promise<PushedApplication> {
  const { options = {}, nest, configure, adapter, logger, imports = [] } = settings;
  const qstash = settings.qstash ?? (await QStashEmulator.start());
  const port = settings.port ?? (await freePort());
  const ownUrl = `http://127.0.0.1:${port}`;
  const targetUrl = settings.targetUrl ?? ownUrl;
  const { url: apiUrl, token, currentSigningKey, nextSigningKey } = qstash;
  const builder = Test.createTestingModule({
    imports: [
      ...imports,
      WorkflowModule.forRoot({
        transport: 'qstash',
        ...options,
        connection: { url },
        qstash: { url: apiUrl, token, currentSigningKey, nextSigningKey, targetUrl, sweep: ON_NEW_YEARS_DAY, ...options.qstash },
      }),
    ],
    providers,
  });
  const module = await (logger ? builder.setLogger(logger) : builder).compile();
  const appOptions = { rawBody: true, ...nest };
  const app = adapter ? module.createNestApplication(adapter, appOptions) : module.createNestApplication(appOptions);
  app.useLogger(logger ?? (process.env['DURABLE_TEST_LOG'] ? ['log', 'warn', 'error'] : false));
  configure?.(app);
  const close = async (): Promise<void> => {
    await app.close();
    if (!settings.qstash) await qstash.close();
  };
  // Before it listens: one that cannot must not be left open.
  const closing = closeLater({ close });
  await app.listen(port, '127.0.0.1');
  const sweep = async (): Promise<void> => {
    const response = await fetch(`${apiUrl}/v2/publish/${options.qstash?.targetUrl ?? targetUrl}/workflow/qstash/sweep`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    });
    if (!response.ok) throw new Error(`the sweep was not taken: ${response.status}`);
  };
  return { app, module, client: app.get(WorkflowClient), qstash, targetUrl, ownUrl, sweep, close: () => closing.close() };
}
