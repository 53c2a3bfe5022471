import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';

/** Prototypes that have methods with `@Step`, with the methods' names. */
const methodsOf = new WeakMap<object, string[]>();

/** The same prototypes, to go through: weakly, because test runners load classes again and again into one process. */
const prototypes = new Set<WeakRef<object>>();

/** Remembers that `@Step` was put on a method. */
export function noteStep(prototype: object, method: string): void {
  const methods = methodsOf.get(prototype);
  if (methods) return void methods.push(method);
  methodsOf.set(prototype, [method]);
  prototypes.add(new WeakRef(prototype));
}

/**
 * Looks for steps where no workflow can call them.
 *
 * @returns steps of classes that the application does not have: instances made by hand, or a class that is missing among the providers
 * @throws WorkflowConfigurationError for steps of a controller, which nothing can inject
 */
export function checkSteps(discovery: DiscoveryService): string[] {
  for (const { metatype } of discovery.getControllers()) {
    const step = typeof metatype === 'function' ? firstStepOf(metatype.prototype as object) : undefined;
    if (step) throw new WorkflowConfigurationError(`@Step() on ${step}: a workflow cannot call a controller; move the step to a provider`);
  }
  const provided = new Set<object>();
  for (const { metatype, instance, token } of discovery.getProviders()) {
    for (const place of [prototypeOf(metatype), prototypeOf(token), typeof instance === 'object' ? (instance as object | null) : null]) {
      for (const prototype of chainOf(place)) provided.add(prototype);
    }
  }
  const missing: string[] = [];
  for (const reference of prototypes) {
    const prototype = reference.deref();
    if (!prototype) prototypes.delete(reference);
    else if (!provided.has(prototype))
      missing.push(...methodsOf.get(prototype)!.map((method) => `${prototype.constructor.name}.${method}`));
  }
  return missing;
}

/** The methods with `@Step` of an object and of what it inherits from: decorated ones have the metadata of the method. */
export function* stepsOf(instance: object): Iterable<{ name: string; method: Function }> {
  for (const prototype of chainOf(instance)) {
    for (const name of methodsOf.get(prototype) ?? []) {
      const method: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
      if (typeof method === 'function') yield { name, method };
    }
  }
}

function firstStepOf(start: object): string | undefined {
  for (const prototype of chainOf(start)) {
    const [method] = methodsOf.get(prototype) ?? [];
    if (method !== undefined) return `${start.constructor.name}.${method}`;
  }
  return undefined;
}

function prototypeOf(type: unknown): object | null {
  return typeof type === 'function' ? ((type.prototype as object | undefined) ?? null) : null;
}

/** An object and what it inherits from. */
function* chainOf(start: object | null): Iterable<object> {
  for (let current = start; current !== null; current = Object.getPrototypeOf(current) as object | null) yield current;
}
