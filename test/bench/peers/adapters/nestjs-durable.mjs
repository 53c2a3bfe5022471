import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Step, Workflow, WorkflowClient, WorkflowModule } from 'nestjs-durable';
import { counter } from './database.mjs';

let onBodyEnd;

class ThreeSteps {
  async run() {
    await this.one();
    await this.two();
    const last = await this.three();
    onBodyEnd();
    return last;
  }

  async one() {
    return { ok: true, step: 1 };
  }

  async two() {
    return { ok: true, step: 2 };
  }

  async three() {
    return { ok: true, step: 3 };
  }
}

/** Applies the decorators, which only TypeScript has a syntax for. */
function decorate() {
  for (const name of ['one', 'two', 'three']) {
    const descriptor = Object.getOwnPropertyDescriptor(ThreeSteps.prototype, name);
    const replaced = Step()(ThreeSteps.prototype, name, descriptor);
    Object.defineProperty(ThreeSteps.prototype, name, replaced ?? descriptor);
  }
  Workflow({ name: 'three-steps' })(ThreeSteps);
}

export async function boot({ url, settings, bodyEnded }) {
  onBodyEnd = bodyEnded;
  decorate();
  class Application {}
  Module({ imports: [WorkflowModule.forRoot({ connection: { url }, ...settings })], providers: [ThreeSteps] })(Application);
  const application = await NestFactory.create(Application, { logger: ['error', 'warn'], abortOnError: false });
  // By default runs are executed once the application listens.
  await application.listen(0, '127.0.0.1');
  const client = application.get(WorkflowClient, { strict: false });
  const completed = await counter(url, `SELECT count(*) FROM durable.workflow_runs WHERE status = 'completed'`);
  return {
    hasResults: true,
    completed,
    startMany: (count) => Promise.all(Array.from({ length: count }, (_, run) => client.start(ThreeSteps, { run }))),
    runOne: () => client.execute(ThreeSteps, { run: 0 }),
  };
}
