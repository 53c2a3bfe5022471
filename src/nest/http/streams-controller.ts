import {
  applyDecorators,
  Controller,
  Get,
  Inject,
  Param,
  Query,
  Req,
  Res,
  SetMetadata,
  UseGuards,
  VERSION_NEUTRAL,
  type Type,
} from '@nestjs/common';

import type { EndpointSettings } from '../options/endpoint-options.js';
import type { HttpSettings } from '../options/http-options.js';
import { STREAM_ENDPOINT } from '../tokens.js';
import type { StreamHttpHandler, StreamHttpRequest, StreamHttpResponse } from './stream-http-handler.js';

/**
 * Creates the controller for the streams of a module. Each module has a controller class of its
 * own, because the path and guards are metadata of the class.
 */
export function streamsController({ path }: HttpSettings, { guards, decorators }: EndpointSettings): Type {
  @Controller({ path: `${path}/runs`, version: VERSION_NEUTRAL })
  @UseGuards(...guards)
  // Excludes the endpoint from @nestjs/swagger, as the endpoint for hooks.
  @SetMetadata('swagger/apiExcludeController', [true])
  @applyDecorators(...decorators)
  class WorkflowStreamsController {
    constructor(@Inject(STREAM_ENDPOINT) private readonly handler: StreamHttpHandler) {}

    @Get(':runId/streams/:name')
    read(
      @Param('runId') runId: string,
      @Param('name') name: string,
      @Query() query: Readonly<Record<string, unknown>>,
      @Req() request: StreamHttpRequest,
      @Res() response: StreamHttpResponse,
    ): Promise<void> {
      return this.handler.answer({ runId, name, query }, request, response);
    }
  }
  return WorkflowStreamsController;
}
