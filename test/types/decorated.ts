// The compiler checks this file (npm run lint:types) with isolatedModules and
// emitDecoratorMetadata. Decorated signatures use types of this package, imported as an application
// imports them. A class exported as a type or turned into an interface fails to compile (TS1272).
import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';

import { InjectWorkflowClient, Step, Workflow, WorkflowClient, WorkflowContext, WorkflowHandle, type Duration } from '../../src/index.js';
import type { WorkflowRequest } from '../../src/index.js';

@Injectable()
export class Starter {
  constructor(
    private readonly client: WorkflowClient,
    @InjectWorkflowClient() readonly same: WorkflowClient,
  ) {}

  @Step()
  async start(id: string): Promise<string> {
    return (await this.client.start(DecoratedWorkflow, { id })).runId;
  }

  @Step()
  async describe(handle: WorkflowHandle): Promise<string> {
    return handle.runId;
  }
}

@Workflow({ name: 'decorated' })
export class DecoratedWorkflow {
  constructor(readonly starter: Starter) {}

  async run(input: { id: string }, ctx: WorkflowContext): Promise<string> {
    await this.pause(ctx, '1s');
    return input.id;
  }

  // The metadata of a decorated method refers to the class of its context parameter.
  @Step()
  async pause(_ctx: WorkflowContext, _duration?: Duration): Promise<void> {}
}

// The example of docs/nestjs.md.
@Injectable({ scope: Scope.REQUEST })
export class Tenant {
  constructor(@Inject(REQUEST) readonly request: WorkflowRequest) {}
}
