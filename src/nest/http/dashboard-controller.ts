import {
  applyDecorators,
  Body,
  Controller,
  Get,
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

import type { DashboardSettings } from '../options/dashboard-options.js';
import type { HttpSettings } from '../options/http-options.js';
import { DASHBOARD_HANDLER } from '../tokens.js';
import type { DashboardHandler, DashboardPlatformRequest, DashboardPlatformResponse } from './dashboard-handler.js';

/** Paths of the API: no route has more than four parts. */
const API = ['api/:a', 'api/:a/:b', 'api/:a/:b/:c', 'api/:a/:b/:c/:d'];

type Parts = Readonly<Partial<Record<'a' | 'b' | 'c' | 'd', string>>>;

/**
 * Creates the controller for the dashboard of a module. Each module has a controller class of its
 * own, because the path and guards are metadata of the class.
 */
export function dashboardController({ path }: HttpSettings, { guards, decorators }: DashboardSettings): Type {
  @Controller({ path: `${path}/dashboard`, version: VERSION_NEUTRAL })
  @UseGuards(...guards)
  @SetMetadata('swagger/apiExcludeController', [true])
  @applyDecorators(...decorators)
  class WorkflowDashboardController {
    constructor(@Inject(DASHBOARD_HANDLER) private readonly handler: DashboardHandler) {}

    @Get()
    page(@Req() request: DashboardPlatformRequest, @Res() response: DashboardPlatformResponse): Promise<void> {
      return this.handler.page(request, response);
    }

    @Get('assets/:name')
    asset(
      @Param('name') name: string,
      @Req() request: DashboardPlatformRequest,
      @Res() response: DashboardPlatformResponse,
    ): Promise<void> {
      return this.handler.asset(name, request, response);
    }

    @Get(API)
    read(@Param() parts: Parts, @Req() request: DashboardPlatformRequest, @Res() response: DashboardPlatformResponse): Promise<void> {
      return this.handler.api('GET', segmentsOf(parts), request, undefined, response);
    }

    @Post(API)
    @HttpCode(200)
    change(
      @Param() parts: Parts,
      @Req() request: DashboardPlatformRequest,
      @Body() body: unknown,
      @Res() response: DashboardPlatformResponse,
    ): Promise<void> {
      return this.handler.api('POST', segmentsOf(parts), request, body, response);
    }
  }
  return WorkflowDashboardController;
}

function segmentsOf({ a, b, c, d }: Parts): string[] {
  return [a, b, c, d].filter((part) => part !== undefined);
}
