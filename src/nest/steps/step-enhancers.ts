import { ForbiddenException, UnauthorizedException, type InjectionToken } from '@nestjs/common';
import type { ContextId, ExternalContextCreator } from '@nestjs/core';

import { NonRetryableError } from '../../core/errors/index.js';
import { currentStep } from '../../engine/current.js';
import type { StepInterceptor } from '../../engine/ports.js';
import type { EnhancerLookup } from './enhancer-lookup.js';

/** Value that `ExecutionContext.getType()` returns in guards and interceptors around a step. */
const WORKFLOW_CONTEXT_TYPE = 'workflow';

type Enhanced = (...args: readonly unknown[]) => Promise<unknown>;

/** Applies Nest's guards and interceptors to the bodies of methods with `@Step`. */
export class StepEnhancers implements StepInterceptor {
  /**
   * Methods with their enhancers applied, by instance and method. The methods are cached, because
   * Nest searches all modules to find the enhancers of a method.
   */
  private readonly enhanced = new WeakMap<object, Map<Function, Enhanced>>();
  private readonly begun = new WeakSet<object>();

  constructor(
    private readonly creator: ExternalContextCreator,
    private readonly lookup: EnhancerLookup,
    /**
     * Dependency injection context of one execution of a workflow (a pass); undefined when the pass
     * has no request-scoped enhancers of its own.
     */
    private readonly contextId: ContextId | undefined,
  ) {}

  /**
   * Returns a copy for one execution of a workflow (a pass). The copy uses the enhancers that were
   * created in the pass's dependency injection context.
   */
  inContext(contextId: ContextId): StepEnhancers {
    return new StepEnhancers(this.creator, this.lookup, contextId);
  }

  /**
   * Tokens of global enhancers that are created for each execution of a workflow (a pass). The
   * enhancers must be created in the dependency injection context of the pass before its first step
   * is executed.
   */
  get createdPerPass(): readonly InjectionToken[] {
    return this.lookup.globalsPerPass.map(({ token }) => token);
  }

  /**
   * Executes the body of a step inside its guards and interceptors.
   *
   * @returns the result of the body, which interceptors may have changed
   * @throws NonRetryableError when a guard refuses, because it would refuse again, or when Nest
   *   would skip an enhancer
   */
  async execute(target: object, method: Function, name: string, args: readonly unknown[]): Promise<unknown> {
    const step = currentStep();
    try {
      return await this.of(target, method, name)(...args);
    } catch (error) {
      const isRefusal = error instanceof ForbiddenException || error instanceof UnauthorizedException;
      if (!isRefusal || this.begun.has(step)) throw error;
      throw new NonRetryableError(`a guard refused step "${step.stepKey}": ${error.message}`, { cause: error });
    }
  }

  began(step: object): void {
    this.begun.add(step);
  }

  private of(target: object, method: Function, name: string): Enhanced {
    const methods = this.enhanced.get(target) ?? new Map<Function, Enhanced>();
    this.enhanced.set(target, methods);
    let enhanced = methods.get(method);
    if (!enhanced) {
      const skipped = this.lookup.explainSkipped(target, method);
      if (skipped) throw new NonRetryableError(skipped);
      const callback = method as (...args: unknown[]) => unknown;
      const { creator, contextId, lookup } = this;
      const kinds = { guards: lookup.kinds.includes('guards'), interceptors: lookup.kinds.includes('interceptors'), filters: false };
      enhanced = creator.create(target, callback, name, undefined, undefined, contextId, undefined, kinds, WORKFLOW_CONTEXT_TYPE);
      methods.set(method, enhanced);
    }
    return enhanced;
  }
}
