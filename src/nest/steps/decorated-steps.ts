import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { chainOf, declarationsOf, declaredAt, declaringPlaces } from '../decorators/step-declarations.js';

const MAX_SHOWN = 5;

/**
 * Checks that workflows can call the declared steps.
 *
 * @returns steps whose class is not among the providers: either its instances are created by hand,
 *   or the class was forgotten
 * @throws WorkflowConfigurationError for steps of a controller, because a controller cannot be
 *   injected into a workflow
 */
export function checkSteps(discovery: DiscoveryService): string[] {
  for (const { metatype } of discovery.getControllers()) {
    const [method] = declarationsOf(prototypeOf(metatype)).keys();
    if (method !== undefined) {
      const name = `${(metatype as Function).name}.${method}`;
      throw new WorkflowConfigurationError(`@Step() on ${name}: a workflow cannot call a controller; move the step to a provider`);
    }
  }
  const provided = new Set<object>();
  for (const { metatype, instance, token } of discovery.getProviders()) {
    for (const place of [prototypeOf(metatype), prototypeOf(token), typeof instance === 'object' ? (instance as object | null) : null]) {
      for (const prototype of chainOf(place)) provided.add(prototype);
    }
  }
  const missing: string[] = [];
  for (const place of declaringPlaces()) {
    if (!provided.has(place)) missing.push(...[...declaredAt(place).keys()].map((method) => `${place.constructor.name}.${method}`));
  }
  return missing;
}

/**
 * Lists the methods with `@Step` of an object and of its prototypes. Each listed method is the
 * function that replaced the original method, and has the original's metadata.
 */
export function* stepsOf(instance: object): Iterable<{ name: string; method: Function }> {
  for (const place of chainOf(instance)) {
    for (const name of declaredAt(place).keys()) {
      const method: unknown = Object.getOwnPropertyDescriptor(place, name)?.value;
      if (typeof method === 'function') yield { name, method };
    }
  }
}

/**
 * Lists the first few names and the number of further names, so that a warning stays short. A
 * process that imports a monorepo's index file loads dozens of classes with steps that it does not
 * provide.
 */
export function listSome(names: readonly string[]): string {
  const shown = names.slice(0, MAX_SHOWN).join(', ');
  return names.length > MAX_SHOWN ? `${shown} and ${names.length - MAX_SHOWN} more` : shown;
}

function prototypeOf(type: unknown): object | null {
  return typeof type === 'function' ? ((type.prototype as object | undefined) ?? null) : null;
}
