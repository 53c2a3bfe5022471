import type { InjectionToken, Type } from '@nestjs/common';
import { ContextIdFactory, type ModuleRef } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import type { Warn } from '../core/log-fields.js';
import type { WorkflowInstanceFactory, StartedRun, WorkflowCode } from '../engine/ports.js';
import type { WorkflowContext } from '../engine/workflow-context.js';
import type { StepEnhancers } from './steps/step-enhancers.js';

/**
 * Value that request-scoped providers receive when they inject REQUEST and are created for one
 * execution of a workflow function (a pass).
 */
export interface WorkflowRequest {
  /** Id of the run. */
  readonly runId: string;
  /** Name of the workflow. */
  readonly workflow: string;
  /** Version of the workflow. */
  readonly version: number;
  /** Copy of the run's input. */
  readonly input: unknown;
}

export interface WorkflowInstance {
  run(input: unknown, context: WorkflowContext): Promise<unknown>;
}

const MIN_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 60_000;
/**
 * Maximum number of runs for which failures to create an instance are counted. With more runs, the
 * oldest counts are dropped, and the pauses of those runs start again at the minimum.
 */
const MAX_COUNTED = 10_000;

/**
 * Creates an instance of a workflow for each execution of its `run` (a pass), in a dependency
 * injection context of its own. No reference to the instance is kept, so it can be
 * garbage-collected after the pass.
 *
 * Providers that are `durable` in the sense of Nest are created for each pass too. A
 * durable-provider strategy that identifies tenants by the HTTP request therefore does not work
 * here.
 */
export class InstancePerPass implements WorkflowInstanceFactory {
  private readonly failures = new Map<string, number>();

  constructor(
    private readonly workflow: { readonly name: string; readonly version: number; readonly type: Function },
    private readonly token: InjectionToken,
    private readonly moduleRef: ModuleRef,
    private readonly enhancers: StepEnhancers | undefined,
    private readonly warn: Warn,
  ) {}

  async make({ runId, input }: StartedRun): Promise<WorkflowCode> {
    const { name, version, type } = this.workflow;
    const contextId = ContextIdFactory.create();
    const request: WorkflowRequest = { runId, workflow: name, version, input };
    this.moduleRef.registerRequestByContextId(request, contextId);
    // Create the request-scoped global enhancers here, because Nest creates them for controllers
    // only. Otherwise Nest would call a guard whose constructor never ran.
    for (const token of this.enhancers?.createdPerPass ?? [])
      await this.moduleRef.resolve(token as Type<unknown>, contextId, { strict: false });
    const instance = await this.moduleRef.resolve<WorkflowInstance>(this.token as Type<WorkflowInstance>, contextId, { strict: false });
    if (typeof instance?.run !== 'function')
      throw new WorkflowConfigurationError(`the provider of ${type.name} has no method run(input, ctx)`);
    this.failures.delete(runId);
    return {
      invoke: (input, context) => instance.run(input, context),
      ...(this.enhancers ? { interceptor: this.enhancers.inContext(contextId) } : {}),
    };
  }

  failed(runId: string, error: unknown): number {
    const failures = this.failures.get(runId) ?? 0;
    this.failures.delete(runId);
    this.failures.set(runId, failures + 1);
    for (const oldest of this.failures.keys()) {
      if (this.failures.size <= MAX_COUNTED) break;
      this.failures.delete(oldest);
    }
    const pause = Math.min(MIN_PAUSE_MS * 2 ** failures, MAX_PAUSE_MS);
    const { name, type } = this.workflow;
    this.warn('instance-not-created', `run "${runId}" (${name}): could not create ${type.name}; retrying in ${pause / 1_000} s`, error, {
      workflow: name,
      runId,
    });
    return pause;
  }
}
