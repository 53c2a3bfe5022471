// Checked by the compiler alone (npm run lint:types), with isolatedModules and emitDecoratorMetadata: types of this package in decorated signatures, imported as an
// application imports them. A class that were exported as a type, or turned into an interface, would not compile here (TS1272).
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

  // A context in the signature of a decorated method: its metadata refers to the class.
  @Step()
  async pause(_ctx: WorkflowContext, _duration?: Duration): Promise<void> {}
}

// As in docs/nestjs.md.
@Injectable({ scope: Scope.REQUEST })
export class Tenant {
  constructor(@Inject(REQUEST) readonly request: WorkflowRequest) {}
}
