import { Inject, Injectable, Module, type OnModuleDestroy } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';

/**
 * Nest gives the root module the distance 0 or 1, and calls shutdown hooks from the lowest distance
 * on.
 */
const BEFORE_THE_ROOT = -1;

/**
 * Receives the first shutdown hook of the application, and awaits the workers there. Step bodies
 * use providers that close their connections in `onModuleDestroy`, so bodies must end before that.
 *
 * Nest calls these hooks module by module, awaits each, and begins at the root. This provider
 * therefore has a module of its own, whose distance is lower than the root's.
 */
@Injectable()
export class FirstToStop implements OnModuleDestroy {
  private readonly stops: (() => Promise<void>)[] = [];

  constructor(@Inject(ModulesContainer) modules: ModulesContainer) {
    for (const module of modules.values()) if (module.metatype === FirstToStopModule) module.distance = BEFORE_THE_ROOT;
  }

  /** Registers a function that must finish before the application's providers are destroyed. */
  add(stop: () => Promise<void>): void {
    this.stops.push(stop);
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.allSettled(this.stops.map((stop) => stop()));
  }
}

/**
 * Gives FirstToStop its place in the order of Nest's hooks. All WorkflowModules of an application
 * import the same one.
 */
@Module({ providers: [FirstToStop], exports: [FirstToStop] })
export class FirstToStopModule {}
