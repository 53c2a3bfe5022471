import type { StepOptions } from '../engine/context-options.js';

/** How a method that is a step is identified and tried. */
export interface StepMethodOptions<Key extends unknown[]> extends Omit<StepOptions, 'key'> {
  /** The step's name. Default: the method's, with the class before it when the method is not the workflow's own (`PaymentService.charge`). */
  name?: string;
  /** Tells calls of the same name apart, from the arguments: `charge:<key>`. */
  key?: (...args: Key) => string;
}

/** A function that a step wraps. */
export type StepFunction = (this: unknown, ...args: never[]) => unknown;

/** A method that `@Step()` decorates. */
export interface StepDeclaration {
  /** The prototype of the class that has the decorator. */
  readonly place: object;
  readonly method: string;
  /** The name that `@Step({ name })` gives. */
  readonly name: string | undefined;
  /** What `@Step()` has put in the method's place. */
  readonly step: StepFunction;
  /**
   * Makes another function a step like this one: an override, or what a decorator above `@Step()` made of the method.
   *
   * @param standsFor the class whose name the step carries where the function belongs to a plain object
   */
  wrap(body: StepFunction, standsFor?: Function): StepFunction;
}

interface Registry {
  readonly declarations: WeakMap<object, Map<string, StepDeclaration>>;
  /** The keys of `declarations`, weakly: test runners load classes again and again into one process. */
  readonly places: Set<WeakRef<object>>;
  readonly steps: WeakSet<Function>;
}

// One for the process: a base class may come from a library that has a copy of this package of its own.
const REGISTRY = Symbol.for('nestjs-durable.step-declarations');
const shared = globalThis as typeof globalThis & { [REGISTRY]?: Registry };
const registry = (shared[REGISTRY] ??= { declarations: new WeakMap(), places: new Set(), steps: new WeakSet() });

/** Remembers that a method of a prototype is a step. */
export function declareStep(place: object, declaration: StepDeclaration): void {
  const known = registry.declarations.get(place);
  if (known) return void known.set(declaration.method, declaration);
  registry.declarations.set(place, new Map([[declaration.method, declaration]]));
  registry.places.add(new WeakRef(place));
}

/** Marks a function as one that records what it does in a run. */
export function markStep(step: Function): void {
  registry.steps.add(step);
}

export function isStep(value: unknown): boolean {
  return typeof value === 'function' && registry.steps.has(value);
}

/** Returns the steps that a prototype declares itself, by method. */
export function declaredAt(place: object): ReadonlyMap<string, StepDeclaration> {
  return registry.declarations.get(place) ?? NONE;
}

const NONE: ReadonlyMap<string, StepDeclaration> = new Map();

/** Returns the steps of an object and of what it inherits from, by method; the most derived declaration wins. */
export function declarationsOf(start: object | null): ReadonlyMap<string, StepDeclaration> {
  const found = new Map<string, StepDeclaration>();
  for (const place of chainOf(start)) {
    for (const [method, declaration] of declaredAt(place)) if (!found.has(method)) found.set(method, declaration);
  }
  return found;
}

/** Lists every prototype that is still in use and declares steps. */
export function* declaringPlaces(): Iterable<object> {
  for (const reference of registry.places) {
    const place = reference.deref();
    if (place) yield place;
    else registry.places.delete(reference);
  }
}

/** Lists an object and what it inherits from, the most derived first. */
export function* chainOf(start: object | null): Iterable<object> {
  for (let current = start; current !== null; current = Object.getPrototypeOf(current) as object | null) yield current;
}

/** Returns the class of an object; `Object` for a literal, undefined for an object without a prototype. */
export function classOf(target: unknown): Function | undefined {
  const isObject = (typeof target === 'object' && target !== null) || typeof target === 'function';
  const prototype = isObject ? (Object.getPrototypeOf(target) as { constructor?: unknown } | null) : null;
  return typeof prototype?.constructor === 'function' ? prototype.constructor : undefined;
}
