// A Nest application with the modules of the kit and of the World. Prints its port.
import 'reflect-metadata';

import { createRequire } from 'node:module';
import { join } from 'node:path';

import { Body, Controller, Get, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowModule } from '@workflow/nest';
import { getRun, start } from 'workflow/api';

const { WorldModule } = createRequire(import.meta.url)(process.env.WORKFLOW_TARGET_WORLD);

class RunsController {
  async start({ workflow, args }) {
    const run = await start({ workflowId: `workflow//./workflows/index//${workflow}` }, args);
    return { runId: run.runId };
  }

  async show(id) {
    const run = getRun(id);
    const status = await run.status;
    return { status, ...(status === 'completed' ? { output: await run.returnValue } : {}) };
  }
}

// Node does not know the syntax of decorators.
function decorate(method, decorator, parameter) {
  const descriptor = Object.getOwnPropertyDescriptor(RunsController.prototype, method);
  parameter(RunsController.prototype, method, 0);
  decorator(RunsController.prototype, method, descriptor);
}
decorate('start', Post('start'), Body());
decorate('show', Get('runs/:id'), Param('id'));
Controller()(RunsController);

class AppModule {}
Module({
  imports: [
    WorkflowModule.forRoot({ dirs: ['workflows'], skipBuild: true, outDir: join(process.cwd(), '.nestjs', process.env.PREFIX || 'root') }),
    WorldModule.forRoot(),
  ],
  controllers: [RunsController],
})(AppModule);

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'], rawBody: true });
if (process.env.PREFIX) app.setGlobalPrefix(process.env.PREFIX);
app.enableShutdownHooks();
await app.listen(Number(process.env.PORT));
console.log(`listening on ${process.env.PORT}`);
