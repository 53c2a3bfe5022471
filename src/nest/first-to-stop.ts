import { Inject, Injectable, Module, type OnModuleDestroy } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';

/** Nest gives the root module 0 or 1, and its hooks of the shutdown begin with the lowest distance. */
const BEFORE_THE_ROOT = -1;

/**
 * Receives the first hook of the application's shutdown, and awaits there what must end before anything else is destroyed: bodies of steps use providers, which
 * close their connections in `onModuleDestroy`.
 *
 * Nest calls these hooks module by module, awaits each, and begins at the root. So this provider has a module of its own whose distance is lower than the root's.
 */
@Injectable()
export class FirstToStop implements OnModuleDestroy {
  private readonly stops: (() => Promise<void>)[] = [];

  constructor(@Inject(ModulesContainer) modules: ModulesContainer) {
    for (const module of modules.values()) if (module.metatype === FirstToStopModule) module.distance = BEFORE_THE_ROOT;
  }

  /** Registers what must have ended before the application's providers are destroyed. */
  add(stop: () => Promise<void>): void {
    this.stops.push(stop);
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.allSettled(this.stops.map((stop) => stop()));
  }
}

/** Gives FirstToStop its place in the order of Nest's hooks. Every WorkflowModule of an application imports the same one. */
@Module({ providers: [FirstToStop], exports: [FirstToStop] })
export class FirstToStopModule {}
