// Both copies of the package in one process: `import` loads one here, and `require` loads the other
// as a CommonJS library of the application would.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import 'reflect-metadata';

import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import * as esm from 'nestjs-durable';

const cjs = createRequire(import.meta.url)('nestjs-durable');
assert.notEqual(cjs.WorkflowClient, esm.WorkflowClient, 'these are not two copies');

// A workflow of the CommonJS library, executed by the module of the ESM application.
class GreetWorkflow {
  bodies = 0;

  async run(name, ctx) {
    const greeting = await this.greet(name);
    await ctx.sleep(1);
    return greeting;
  }

  async greet(name) {
    if (name === '') throw new cjs.NonRetryableError('nobody to greet');
    return `hello ${name} of ${cjs.currentStep().runId}`;
  }
}
cjs.Step()(GreetWorkflow.prototype, 'greet', decorated(GreetWorkflow.prototype, 'greet'));
cjs.Workflow({ name: 'greet' })(GreetWorkflow);

/** As a compiler does it: a decorator changes the descriptor in place. */
function decorated(prototype, method) {
  const original = Object.getOwnPropertyDescriptor(prototype, method).value;
  return {
    get value() {
      return original;
    },
    set value(step) {
      Object.defineProperty(prototype, method, { value: step, writable: true, configurable: true });
    },
  };
}

// A service of the CommonJS library that asks for the client by its class.
class LibraryService {
  constructor(client) {
    this.client = client;
  }
}
Injectable()(LibraryService);
Inject(cjs.WorkflowClient)(LibraryService, undefined, 0);

class AppModule {}
Module({
  imports: [esm.WorkflowModule.forRoot({ connection: { embedded: true }, worker: {} })],
  providers: [GreetWorkflow, LibraryService],
})(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
try {
  const client = app.get(cjs.getWorkflowClientToken());
  assert.equal(client, app.get(esm.WorkflowClient), 'the token of one copy finds the client of the other');
  assert.equal(client, app.get(LibraryService).client, 'so does its class');

  const output = await client.execute(GreetWorkflow, 'Ada', { id: 'greet-1' });
  assert.equal(output, 'hello Ada of greet-1');
  const steps = await client.steps('greet-1');
  assert.ok(
    steps.some(({ stepKey }) => stepKey === 'greet'),
    'the step of the other copy is recorded',
  );

  const missing = await client.status('nobody').catch((error) => error);
  assert.equal(missing.code, 'RUN_NOT_FOUND');
  assert.ok(missing instanceof cjs.RunNotFoundError && missing instanceof esm.RunNotFoundError, 'both copies know the error');

  const failed = await client.execute(GreetWorkflow, '', { id: 'greet-2' }).catch((error) => error);
  assert.ok(
    failed instanceof cjs.WorkflowFailedError && cjs.StepFailedError.is(failed.cause, cjs.NonRetryableError),
    'both know its cause',
  );
  const [failedStep] = await client.steps('greet-2');
  assert.equal(failedStep.attempts, 1, 'the NonRetryableError of the other copy is not retried');
} finally {
  await app.close();
}
console.log('two copies of the package agree');
