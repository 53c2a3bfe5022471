import type { InjectionToken, Type } from '@nestjs/common';
import { ContextIdFactory, type ModuleRef } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import type { WorkflowInstanceFactory, StartedRun, WorkflowCode } from '../engine/ports.js';
import type { WorkflowContext } from '../engine/workflow-context.js';
import type { StepEnhancers } from './step-enhancers.js';

/** What request-scoped providers get as REQUEST where they are made for a pass of a run. */
export interface WorkflowRequest {
  readonly runId: string;
  /** The workflow's name. */
  readonly workflow: string;
  readonly version: number;
  /** A copy of the run's input. */
  readonly input: unknown;
}

export interface WorkflowInstance {
  run(input: unknown, context: WorkflowContext): Promise<unknown>;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** Of how many runs failures are counted; of the others the pause begins again at its shortest. */
const MAX_COUNTED = 10_000;

/**
 * Makes an instance of a workflow for each pass, in a context of its own. Nothing here holds on to it: it goes with the pass.
 *
 * Providers that are `durable` are made for each pass as well: a strategy that tells tenants apart by an HTTP request cannot do so here.
 */
export class InstancePerPass implements WorkflowInstanceFactory {
  private readonly failures = new Map<string, number>();

  constructor(
    private readonly workflow: { readonly name: string; readonly version: number; readonly type: Function },
    private readonly token: InjectionToken,
    private readonly moduleRef: ModuleRef,
    private readonly enhancers: StepEnhancers | undefined,
    private readonly warn: (message: string, error: unknown) => void,
  ) {}

  async make({ runId, input }: StartedRun): Promise<WorkflowCode> {
    const { name, version, type } = this.workflow;
    const contextId = ContextIdFactory.create();
    const request: WorkflowRequest = { runId, workflow: name, version, input };
    this.moduleRef.registerRequestByContextId(request, contextId);
    // Nest does so for controllers alone; without it a guard would be called whose constructor never was.
    for (const token of this.enhancers?.madePerPass ?? [])
      await this.moduleRef.resolve(token as Type<unknown>, contextId, { strict: false });
    const instance = await this.moduleRef.resolve<WorkflowInstance>(this.token as Type<WorkflowInstance>, contextId, { strict: false });
    if (typeof instance?.run !== 'function')
      throw new WorkflowConfigurationError(`what is provided as ${type.name} has no method run(input, ctx)`);
    this.failures.delete(runId);
    return {
      invoke: (given, context) => instance.run(given, context),
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
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
    this.warn(`${this.workflow.type.name} could not be made for run "${runId}"; trying again in ${pause / 1_000} s`, error);
    return pause;
  }
}
