import { readFile } from 'node:fs/promises';

import {
  BadRequestException,
  Body,
  Controller,
  ForbiddenException,
  Get,
  Header,
  HttpCode,
  Param,
  Post,
  Req,
  Res,
  UseFilters,
} from '@nestjs/common';
import { WorkflowClient, WorkflowExceptionFilter } from 'nestjs-durable';

import { AgentWorkflow } from './agent.workflow.js';
import { newUserCookie, userOf, type UserRequest } from './users.js';

/** Reads a file of the page. npm starts the sample in the folder of the repository. */
const page = (file: string): Promise<string> => readFile(`sample/08-agent/page/${file}`, 'utf8');

@Controller()
@UseFilters(WorkflowExceptionFilter)
export class AgentController {
  constructor(private readonly client: WorkflowClient) {}

  @Get()
  @Header('content-type', 'text/html; charset=utf-8')
  @Header('content-security-policy', "default-src 'self'")
  index(
    @Req() request: UserRequest,
    @Res({ passthrough: true }) response: { header(name: string, value: string): unknown },
  ): Promise<string> {
    if (userOf(request) === undefined) response.header('set-cookie', newUserCookie());
    return page('index.html');
  }

  @Get('agent.js')
  @Header('content-type', 'text/javascript; charset=utf-8')
  script(): Promise<string> {
    return page('agent.js');
  }

  @Get('agent.css')
  @Header('content-type', 'text/css; charset=utf-8')
  styles(): Promise<string> {
    return page('agent.css');
  }

  /** Starts a run. The page then reads the stream of the run. */
  @Post('questions')
  async ask(@Req() request: UserRequest, @Body('question') question: unknown): Promise<{ runId: string }> {
    const user = userOf(request);
    if (user === undefined) throw new ForbiddenException();
    if (typeof question !== 'string' || question.trim() === '' || question.length > 500)
      throw new BadRequestException('question must be a text of at most 500 characters');
    const { runId } = await this.client.start(AgentWorkflow, question, { tags: { user } });
    return { runId };
  }

  /** Answers a call that waits for a person. Anyone who has the token may answer. */
  @Post('approvals/:token')
  @HttpCode(204)
  async decide(@Param('token') token: string, @Body('approved') approved: unknown): Promise<void> {
    if (typeof approved !== 'boolean') throw new BadRequestException('approved must be true or false');
    await this.client.resumeHook(token, { approved });
  }
}
