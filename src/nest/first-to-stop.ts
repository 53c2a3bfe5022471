import { Inject, Injectable, Module, type OnModuleDestroy } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';

/**
 * Distance lower than that of the root module, which Nest sets to 0 or 1. Nest calls shutdown hooks
 * in the order of distance, lowest first.
 */
const BEFORE_THE_ROOT = -1;

/**
 * Receives the first shutdown hook of the application, and waits until the workers have stopped.
 * Step bodies use providers that close their connections in their own `onModuleDestroy` hooks, so
 * the bodies must end before those hooks.
 *
 * Nest calls shutdown hooks module by module, awaits each hook, and begins at the root module. This
 * provider therefore has a module of its own, whose distance is lower than that of the root.
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
 * Module of FirstToStop, which determines its place in the order of Nest's hooks. All
 * WorkflowModules of an application import this one module.
 */
@Module({ providers: [FirstToStop], exports: [FirstToStop] })
export class FirstToStopModule {}
