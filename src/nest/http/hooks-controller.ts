import {
  applyDecorators,
  Controller,
  HttpCode,
  Inject,
  Param,
  Post,
  Req,
  Res,
  SetMetadata,
  UseGuards,
  VERSION_NEUTRAL,
  type Type,
} from '@nestjs/common';

import type { HookHttpRequest } from './hook-body.js';
import type { HookHttpResponse, HookHttpHandler } from './hook-http-handler.js';
import type { EndpointSettings } from '../options/endpoint-options.js';
import type { HttpSettings } from '../options/http-options.js';
import { HOOK_RECEIVER } from '../tokens.js';

/**
 * Creates the controller for the hooks of a module. Each module has a controller class of its own,
 * because the path and guards are metadata of the class.
 */
export function hooksController({ path }: HttpSettings, { guards, decorators }: EndpointSettings): Type {
  @Controller({ path: `${path}/hooks`, version: VERSION_NEUTRAL })
  @UseGuards(...guards)
  // Excludes the endpoint from @nestjs/swagger. Only holders of a hook's token may call it, so it
  // is not part of the application's documented API.
  @SetMetadata('swagger/apiExcludeController', [true])
  @applyDecorators(...decorators)
  class WorkflowHooksController {
    constructor(@Inject(HOOK_RECEIVER) private readonly receiver: HookHttpHandler) {}

    @Post(':token')
    @HttpCode(202)
    receive(
      @Param('token') token: string,
      @Req() request: HookHttpRequest,
      @Res({ passthrough: true }) response: HookHttpResponse,
    ): Promise<{ status: 'accepted' | 'repeated' }> {
      return this.receiver.receive(token, request, response);
    }
  }
  return WorkflowHooksController;
}
