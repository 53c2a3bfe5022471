import type { AddressInfo } from 'node:net';

import type { INestApplication, LoggerService, Provider } from '@nestjs/common';

import { WorkflowClient, WorkflowModule, type DashboardOptions, type WorkflowModuleOptions } from '../../src/index.js';
import { closeLater } from './closing.js';
import { createHttpApplication, type HttpPlatform } from './http-platforms.js';

/** An application that serves the dashboard. */
export interface DashboardApplication {
  readonly app: INestApplication;
  readonly client: WorkflowClient;
  /** Address of the server, without a slash at its end. */
  readonly url: string;
}

/**
 * Serves the dashboard on one of the HTTP servers. `closeApplications` closes the application.
 *
 * @param prepare changes the application before it listens, such as its global prefix
 */
export async function serveDashboard(
  databaseUrl: string,
  dashboard: DashboardOptions,
  providers: Provider[],
  more: {
    readonly platform?: HttpPlatform;
    readonly options?: WorkflowModuleOptions;
    readonly prepare?: (app: INestApplication) => void;
    /** Logger of the application. (default: none) */
    readonly logger?: LoggerService;
    /** Addresses of the proxies that the application trusts. (default: none) */
    readonly trusted?: readonly string[];
  } = {},
): Promise<DashboardApplication> {
  const { platform = 'express', options = {}, prepare, logger = false as const, trusted } = more;
  class Root {}
  const module = WorkflowModule.forRoot({ connection: { url: databaseUrl }, worker: {}, ...options, http: { dashboard } });
  // Chromium keeps connections that have sent nothing, and Node would wait for them.
  const settings = { logger, abortOnError: false as const, forceCloseConnections: true };
  const app = closeLater(await createHttpApplication(platform, { module: Root, imports: [module], providers }, settings, trusted));
  prepare?.(app);
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  return { app, client: app.get(WorkflowClient), url: `http://127.0.0.1:${port}` };
}

/** Sends a request that changes something, as the page does. */
export function postJson(address: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(address, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-durable-dashboard': '1', ...headers },
    body: JSON.stringify(body),
  });
}
