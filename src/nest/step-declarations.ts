import type { StepOptions } from '../engine/context-options.js';

/** Options of `@Step`: the identity of the step, and how it is retried. */
export interface StepMethodOptions<Key extends unknown[]> extends Omit<StepOptions, 'key'> {
  /**
   * Name of the step. (default: the name of the method; with the class in front when the method is
   * not the workflow's own, as in `PaymentService.charge`)
   */
  name?: string;
  /**
   * Derives a key from the arguments, which distinguishes calls of the same step: `charge:<key>`.
   * (default: calls are numbered, as in `charge#2`)
   */
  key?: (...args: Key) => string;
}

/** Function that a step wraps. */
export type StepFunction = (this: unknown, ...args: never[]) => unknown;

/** Method with `@Step()`. */
export interface StepDeclaration {
  /** Prototype of the class that has the decorator. */
  readonly place: object;
  readonly method: string;
  /** Name given by `@Step({ name })`. */
  readonly name: string | undefined;
  /** Function by which `@Step()` has replaced the method. */
  readonly step: StepFunction;
  /**
   * Turns another function into a step like this one: an override, or the result of a decorator
   * above `@Step()`.
   *
   * @param standsFor the class that names the step when the function belongs to a plain object
   */
  wrap(body: StepFunction, standsFor?: Function): StepFunction;
}

interface Registry {
  readonly declarations: WeakMap<object, Map<string, StepDeclaration>>;
  /**
   * Keys of `declarations`, held weakly, because test runners load classes again and again into one
   * process.
   */
  readonly places: Set<WeakRef<object>>;
  readonly steps: WeakSet<Function>;
}

// One registry per process, because a base class may come from a library with its own copy of this
// package.
const REGISTRY = Symbol.for('nestjs-durable.step-declarations');
const shared = globalThis as typeof globalThis & { [REGISTRY]?: Registry };
const registry = (shared[REGISTRY] ??= { declarations: new WeakMap(), places: new Set(), steps: new WeakSet() });

/** Registers a method of a prototype as a step. */
export function declareStep(place: object, declaration: StepDeclaration): void {
  const known = registry.declarations.get(place);
  if (known) return void known.set(declaration.method, declaration);
  registry.declarations.set(place, new Map([[declaration.method, declaration]]));
  registry.places.add(new WeakRef(place));
}

/** Marks a function that records its calls in a run. */
export function markStep(step: Function): void {
  registry.steps.add(step);
}

export function isStep(value: unknown): boolean {
  return typeof value === 'function' && registry.steps.has(value);
}

/** Returns the steps that a prototype itself declares, by method. */
export function declaredAt(place: object): ReadonlyMap<string, StepDeclaration> {
  return registry.declarations.get(place) ?? NONE;
}

const NONE: ReadonlyMap<string, StepDeclaration> = new Map();

/**
 * Returns the steps of an object and of its prototypes, by method. The most derived declaration
 * wins.
 */
export function declarationsOf(start: object | null): ReadonlyMap<string, StepDeclaration> {
  const found = new Map<string, StepDeclaration>();
  for (const place of chainOf(start)) {
    for (const [method, declaration] of declaredAt(place)) if (!found.has(method)) found.set(method, declaration);
  }
  return found;
}

/** Lists every prototype that declares steps and is still in use. */
export function* declaringPlaces(): Iterable<object> {
  for (const reference of registry.places) {
    const place = reference.deref();
    if (place) yield place;
    else registry.places.delete(reference);
  }
}

/** Lists an object and its prototypes, the most derived first. */
export function* chainOf(start: object | null): Iterable<object> {
  for (let current = start; current !== null; current = Object.getPrototypeOf(current) as object | null) yield current;
}

/**
 * Returns the class of an object: `Object` for a literal, undefined for an object without a
 * prototype.
 */
export function classOf(target: unknown): Function | undefined {
  const isObject = (typeof target === 'object' && target !== null) || typeof target === 'function';
  const prototype = isObject ? (Object.getPrototypeOf(target) as { constructor?: unknown } | null) : null;
  return typeof prototype?.constructor === 'function' ? prototype.constructor : undefined;
}
