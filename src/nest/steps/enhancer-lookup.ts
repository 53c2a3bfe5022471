import type { DiscoveryService, ExternalContextCreator, ModulesContainer } from '@nestjs/core';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import type { WorkflowDefinition } from '../../engine/ports.js';
import { stepsOf } from './decorated-steps.js';
import type { StepEnhancer } from '../options/options.js';

/**
 * Names that Nest uses for each kind of enhancer: the metadata key, the prefix of the tokens of
 * global enhancers, and the decorator.
 */
const KINDS = {
  guards: { metadata: '__guards__', global: 'APP_GUARD', decorator: 'UseGuards' },
  interceptors: { metadata: '__interceptors__', global: 'APP_INTERCEPTOR', decorator: 'UseInterceptors' },
} as const;

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * Finds the guards and interceptors (enhancers) that Nest applies to a step. Nest creates enhancers
 * only for a class that is listed as a provider itself. For a class that only a factory, a value or
 * an override provides, Nest silently applies no enhancers. The boot refuses such a class if its
 * steps have enhancers, because a guard must not be skipped.
 */
export class EnhancerLookup {
  /**
   * Global enhancers that are request-scoped. A separate instance can be created for each execution
   * of a workflow function (a pass).
   */
  readonly globalsPerPass: readonly Wrapper[];
  /** Global enhancers that have neither a usable shared instance nor an instance for each pass. */
  private readonly notCreatable: readonly Wrapper[];

  constructor(
    private readonly creator: ExternalContextCreator,
    private readonly modules: ModulesContainer,
    readonly kinds: readonly StepEnhancer[],
  ) {
    const prefixes = kinds.map((kind) => `${KINDS[kind].global} `);
    const globalsOf = (wrappers: Iterable<Wrapper>): Wrapper[] =>
      [...wrappers].filter(({ token }) => typeof token === 'string' && prefixes.some((prefix) => token.startsWith(prefix)));
    const all = [...modules.values()];
    const scoped = all.flatMap(({ injectables }) => globalsOf(injectables.values()));
    this.globalsPerPass = scoped.filter((wrapper) => !wrapper.isAlias && !wrapper.isTransient);
    // Nest lists request-scoped global enhancers among the providers as if they were singletons.
    // The instances in that list were created without running the constructor, so they cannot be
    // used.
    const falseSingletons = all
      .flatMap(({ providers }) => globalsOf(providers.values()))
      .filter((wrapper) => !wrapper.isDependencyTreeStatic());
    this.notCreatable = [...falseSingletons, ...scoped.filter((wrapper) => wrapper.isAlias || wrapper.isTransient)];
  }

  /**
   * Checks that Nest applies all guards and interceptors to the steps of all providers.
   *
   * @throws WorkflowConfigurationError naming a guard or interceptor that Nest would skip
   */
  check(discovery: DiscoveryService, workflows: readonly { readonly definition: WorkflowDefinition }[]): void {
    if (workflows.length === 0) return;
    for (const wrapper of discovery.getProviders()) {
      const instance: unknown = wrapper.isAlias ? undefined : wrapper.instance;
      if (typeof instance !== 'object' || instance === null) continue;
      for (const { method } of stepsOf(instance)) {
        const skipped = this.explainSkipped(instance, method);
        if (skipped) throw new WorkflowConfigurationError(skipped);
      }
    }
    this.checkGlobals(workflows);
  }

  /**
   * Returns the reason why a step cannot be executed: Nest would skip an enhancer of its method or
   * class. Returns undefined when there is no such reason.
   */
  explainSkipped(target: object, method: Function): string | undefined {
    const type = target.constructor;
    const known = this.modules.get(this.moduleKeyOf(target))?.injectables;
    for (const kind of this.kinds) {
      const { metadata, decorator } = KINDS[kind];
      const applied = [type, method].flatMap((place) => (Reflect.getMetadata(metadata, place) as unknown[] | undefined) ?? []);
      const missing = applied.find((enhancer): enhancer is Function => typeof enhancer === 'function' && !known?.has(enhancer));
      if (!missing) continue;
      return (
        `@${decorator}(${missing.name}) on step ${type.name}.${method.name} would be skipped: Nest creates enhancers only for classes that are providers themselves, ` +
        `and ${type.name} comes from a factory, a value, an override, another token or \`new\`. List ${type.name} itself among the providers beside it, ` +
        `or pass an instance: @${decorator}(new ${missing.name}())`
      );
    }
    return undefined;
  }

  /**
   * Returns the key of the module in which Nest looks for the enhancers of a step. Nest 12 first
   * looks in the module that provides the instance.
   */
  private moduleKeyOf(target: object): string {
    const creator = this.creator as unknown as { getHostModuleKey?(instance: object, type: Function): string };
    return creator.getHostModuleKey?.(target, target.constructor) || this.creator.getContextModuleKey(target.constructor);
  }

  private checkGlobals(workflows: readonly { readonly definition: WorkflowDefinition }[]): void {
    const label = ({ token, name }: Wrapper): string => `the global ${String(token).split(' ')[0]} ${String(name).split(' ')[0]}`;
    const [notCreatable] = this.notCreatable;
    if (notCreatable) {
      throw new WorkflowConfigurationError(
        `${label(notCreatable)} cannot be applied to steps: it is transient, an alias, or request-scoped only through its dependencies. ` +
          'Provide its class with useClass and scope: Scope.REQUEST',
      );
    }
    const singleton = workflows.find(({ definition }) => !('maker' in definition));
    const [perPass] = this.globalsPerPass;
    if (singleton && perPass) {
      throw new WorkflowConfigurationError(
        `${label(perPass)} is request-scoped, and would be skipped around steps of workflow "${singleton.definition.name}", which is a singleton: ` +
          'make the workflow scope: Scope.REQUEST, or the enhancer a singleton',
      );
    }
  }
}
