import type { DiscoveryService, ExternalContextCreator, ModulesContainer } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import type { WorkflowDefinition } from '../engine/ports.js';
import { stepsOf } from './decorated-steps.js';
import type { StepEnhancer } from './options.js';

/** Under which key Nest's decorators leave classes, and how the tokens of global ones begin. */
const KINDS = {
  guards: { metadata: '__guards__', global: 'APP_GUARD', decorator: 'UseGuards' },
  interceptors: { metadata: '__interceptors__', global: 'APP_INTERCEPTOR', decorator: 'UseInterceptors' },
} as const;

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * Knows which guards and interceptors Nest finds for a step. It makes those of classes that it has read itself, and leaves out, without a word, those
 * of classes that only a factory, a value or an override has brought in: a guard must not be skipped so.
 */
export class EnhancerReach {
  /** Global ones of which there is no instance for all, and which can be made for a pass. */
  readonly globalsPerPass: readonly Wrapper[];
  /** Global ones that cannot be made for a pass. */
  private readonly unmakeable: readonly Wrapper[];

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
    // Among the providers are those that Nest took for singletons: of one that is none it has an object whose constructor was never called.
    const taken = all.flatMap(({ providers }) => globalsOf(providers.values())).filter((wrapper) => !wrapper.isDependencyTreeStatic());
    this.unmakeable = [...taken, ...scoped.filter((wrapper) => wrapper.isAlias || wrapper.isTransient)];
  }

  /**
   * Looks at everything that is provided.
   *
   * @throws WorkflowConfigurationError naming a guard or interceptor that would be left out
   */
  check(discovery: DiscoveryService, workflows: readonly { readonly definition: WorkflowDefinition }[]): void {
    if (workflows.length === 0) return;
    for (const wrapper of discovery.getProviders()) {
      const instance: unknown = wrapper.isAlias ? undefined : wrapper.instance;
      if (typeof instance !== 'object' || instance === null) continue;
      for (const { method } of stepsOf(instance)) {
        const unreached = this.unreachedBy(instance, method);
        if (unreached) throw new WorkflowConfigurationError(unreached);
      }
    }
    this.checkGlobals(workflows);
  }

  /** Why a step cannot be executed: an enhancer of its method or its class that would be left out. */
  unreachedBy(target: object, method: Function): string | undefined {
    const type = target.constructor;
    const known = this.modules.get(this.moduleKeyOf(target))?.injectables;
    for (const kind of this.kinds) {
      const { metadata, decorator } = KINDS[kind];
      const given = [type, method].flatMap((place) => (Reflect.getMetadata(metadata, place) as unknown[] | undefined) ?? []);
      const missing = given.find((enhancer): enhancer is Function => typeof enhancer === 'function' && !known?.has(enhancer));
      if (!missing) continue;
      return (
        `@${decorator}(${missing.name}) on step ${type.name}.${method.name} would be skipped: Nest makes those of classes that are listed as such, ` +
        `and ${type.name} comes from a factory, a value, an override, another token or \`new\`. List ${type.name} itself among the providers beside it, ` +
        `or give an instance: @${decorator}(new ${missing.name}())`
      );
    }
    return undefined;
  }

  /** Where Nest looks for a step's enhancers: since version 12 first where the very instance is. */
  private moduleKeyOf(target: object): string {
    const creator = this.creator as unknown as { getHostModuleKey?(instance: object, type: Function): string };
    return creator.getHostModuleKey?.(target, target.constructor) || this.creator.getContextModuleKey(target.constructor);
  }

  private checkGlobals(workflows: readonly { readonly definition: WorkflowDefinition }[]): void {
    const label = ({ token, name }: Wrapper): string => `the global ${String(token).split(' ')[0]} ${String(name).split(' ')[0]}`;
    const [unmakeable] = this.unmakeable;
    if (unmakeable) {
      throw new WorkflowConfigurationError(
        `${label(unmakeable)} cannot be applied to steps: it is transient, an alias, or request-scoped only by what it depends on. ` +
          'Provide its class with useClass, and say scope: Scope.REQUEST there',
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
