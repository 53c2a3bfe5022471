import {
  applyDecorators,
  Controller,
  Get,
  Inject,
  Res,
  SetMetadata,
  UseGuards,
  VERSION_NEUTRAL,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';

import type { WorkflowClient } from '../../client/client.js';
import { WorkflowConfigurationError } from '../../core/errors/index.js';
import type { MetricsEndpointSettings } from '../options/http-options.js';
import { METRICS_HANDLER } from '../tokens.js';

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Response object, as in Express and Fastify. */
interface MetricsResponse {
  header(name: string, value: string): unknown;
  send(body: string): unknown;
}

/**
 * Creates the controller for the metrics of a module. Each module has a controller class of its
 * own, because the path and guards are metadata of the class.
 */
export function metricsController({ path, guards, decorators }: MetricsEndpointSettings): Type {
  @Controller({ path, version: VERSION_NEUTRAL })
  @UseGuards(...guards)
  @SetMetadata('swagger/apiExcludeController', [true])
  @applyDecorators(...decorators)
  class WorkflowMetricsController {
    constructor(@Inject(METRICS_HANDLER) private readonly handler: MetricsHandler) {}

    @Get()
    // The method sends the response itself. Otherwise an interceptor of the application, such as
    // one that wraps each response into an object, could change the text.
    async metrics(@Res() response: MetricsResponse): Promise<void> {
      const text = await this.handler.text();
      response.header('Content-Type', CONTENT_TYPE);
      response.header('Cache-Control', 'no-store');
      response.send(text);
    }
  }
  return WorkflowMetricsController;
}

/** Answers requests for the metrics of a module. */
export class MetricsHandler implements OnModuleInit {
  constructor(
    private readonly client: Pick<WorkflowClient, 'metrics'>,
    private readonly path: string,
    private readonly discovery: DiscoveryService,
  ) {}

  /**
   * Refuses two modules with the same path, because Nest would send the requests for both to the
   * first one.
   *
   * @throws WorkflowConfigurationError
   */
  onModuleInit(): void {
    const handlers = this.discovery
      .getProviders()
      .flatMap(({ token, instance }) => (token === METRICS_HANDLER ? [instance as MetricsHandler] : []));
    if (handlers.filter(({ path }) => path === this.path).length > 1)
      throw new WorkflowConfigurationError(
        `two WorkflowModules return their metrics at "${this.path}": give each an http.metrics.path of its own`,
      );
  }

  text(): Promise<string> {
    return this.client.metrics();
  }
}
