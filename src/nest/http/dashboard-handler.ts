import type { OnModuleInit } from '@nestjs/common';
import type { ApplicationConfig, DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError, WorkflowError } from '../../core/errors/index.js';
import { ReadablePayloads } from '../../core/readable-payloads.js';
import type { Dashboard } from '../../dashboard/dashboard.js';
import type { DashboardResponse } from '../../dashboard/request.js';
import type { WorkflowRuntime } from '../../host/runtime.js';
import { forCallers } from '../../store/caller-database.js';
import { throughReplica } from '../../store/read-replica.js';
import type { DashboardHttpRequest, DashboardSettings } from '../options/dashboard-options.js';
import { DASHBOARD_HANDLER } from '../tokens.js';
import { answerFor } from './exception-filter.js';
import { isSplitByPrefix } from './split-prefix.js';

/** Request object, as in Express and Fastify. */
export interface DashboardPlatformRequest extends DashboardHttpRequest {
  readonly url: string;
  /** Address before Express has removed the path of a router. */
  readonly originalUrl?: string;
  /** Host and port: those of `X-Forwarded-Host` when the application trusts the proxy. */
  readonly host?: string;
}

/** Response object, as in Express and Fastify. */
export interface DashboardPlatformResponse {
  status(status: number): this;
  header(name: string, value: string): this;
  send(body: string | Buffer): unknown;
}

/** Answers HTTP requests for the dashboard of a module. */
export class DashboardHandler implements OnModuleInit {
  /** Undefined until the module is initialised, and in a closed dashboard. */
  private dashboard: Dashboard | undefined;

  constructor(
    private readonly runtime: WorkflowRuntime,
    private readonly settings: DashboardSettings,
    private readonly discovery: DiscoveryService,
    private readonly config: ApplicationConfig,
  ) {}

  /**
   * Loads the dashboard, and refuses two modules with the same path, because Nest would send the
   * requests for both to the first one.
   *
   * @throws WorkflowConfigurationError
   */
  async onModuleInit(): Promise<void> {
    const { runtime, settings } = this;
    const path = `/${runtime.http.path}/dashboard`;
    if (!settings.isOpen) {
      runtime.warn('dashboard-closed', `module: the dashboard at ${path} is closed, because production needs http.dashboard.guards`);
      return;
    }
    const same = this.discovery
      .getProviders()
      .filter(
        ({ token, instance }) => token === DASHBOARD_HANDLER && (instance as DashboardHandler).runtime.http.path === runtime.http.path,
      );
    if (same.length > 1)
      throw new WorkflowConfigurationError(`two WorkflowModules have a dashboard at "${path}": give each an http.path of its own`);
    if (!settings.hasGuards)
      runtime.warn('dashboard-unguarded', `module: everybody can use the dashboard at ${path}: set http.dashboard.guards`);
    if (isSplitByPrefix(this.config, path))
      runtime.warn(
        'dashboard-split',
        `module: the global prefix excludes only a part of the dashboard at ${path}: exclude "${path}/{*path}" too`,
      );
    // The files are read only when a module has a dashboard.
    const { Dashboard } = await import('../../dashboard/dashboard.js');
    const database = forCallers(runtime.database);
    const payloads = new ReadablePayloads(settings.showsPayloads ? runtime.settings.codec : undefined);
    this.dashboard = new Dashboard({
      client: runtime.client,
      queries: runtime.client.withPayloads(payloads),
      events: runtime.client.events.withPayloads(payloads),
      payloads,
      database,
      reader: runtime.replica ? throughReplica(database, runtime.replica) : database,
      now: () => runtime.clock.now(),
      module: runtime.name,
      isReadOnly: settings.isReadOnly,
      showsPayloads: settings.showsPayloads || runtime.settings.codec === undefined,
      log: (message, fields) => runtime.logger.line('log', message, fields),
    });
  }

  /** Sends the page. */
  async page(request: DashboardPlatformRequest, response: DashboardPlatformResponse): Promise<void> {
    send(response, this.dashboard!.page(addressOf(request).replace(/\?.*$/, ''), request));
  }

  /** Sends a script or a style sheet of the page. */
  async asset(name: string, request: DashboardPlatformRequest, response: DashboardPlatformResponse): Promise<void> {
    send(response, this.dashboard!.asset(name, request));
  }

  /** Answers a request for the API. */
  async api(
    method: 'GET' | 'POST',
    segments: readonly string[],
    request: DashboardPlatformRequest,
    body: unknown,
    response: DashboardPlatformResponse,
  ): Promise<void> {
    const address = addressOf(request);
    const at = address.indexOf('?');
    const query = new URLSearchParams(at === -1 ? '' : address.slice(at));
    try {
      const actor = this.settings.actorOf(request);
      send(response, await this.dashboard!.api({ method, segments, query, headers: request.headers, host: request.host, body, actor }));
    } catch (error) {
      send(response, this.answerTo(error));
    }
  }

  private answerTo(error: unknown): DashboardResponse {
    const known = answerFor(error);
    if (known === undefined || !(error instanceof WorkflowError)) {
      this.runtime.warnOfRequest('dashboard-failed', 'dashboard: could not answer a request', error);
      return this.dashboard!.failure(500, 'Internal Server Error', 'the request failed; the log of the application says why');
    }
    return this.dashboard!.failure(known.status, known.error, error.message, { code: error.code });
  }
}

function addressOf({ originalUrl, url }: DashboardPlatformRequest): string {
  return originalUrl ?? url;
}

function send(response: DashboardPlatformResponse, { status, headers, body }: DashboardResponse): void {
  response.status(status);
  for (const [name, value] of Object.entries(headers)) response.header(name, value);
  response.send(body);
}
