import type { CompensateOn } from '../../core/compensation.js';
import type { StepOptions } from '../../engine/context-options.js';

/** Options of `@Step`: its name and key, and how failed attempts are retried. */
export interface StepMethodOptions<
  Key extends unknown[],
  Compensation extends string = string,
  On extends CompensateOn = CompensateOn,
> extends Omit<StepOptions, 'key'> {
  /**
   * Name of the step. (default: the name of the method; if the method belongs to another class than
   * the workflow, the class name comes first, as in `PaymentService.charge`)
   */
  name?: string;
  /**
   * Returns a key that distinguishes calls of the same step by their arguments: `charge:<key>`.
   * (default: calls are numbered, as in `charge#2`)
   */
  key?: (...args: Key) => string;
  /**
   * Name of a public method of the same class that undoes the step. Called with the output of the
   * step and then its arguments, when the run fails, is cancelled or times out, or when the
   * `ctx.saga` around the step fails. The call is a recorded step of its own, with the retry policy
   * and the timeout of the method's `@Step`, or else those of this step. The arguments of the step
   * are recorded. (default: nothing undoes the step)
   */
  compensate?: Compensation;
  /**
   * Calls of the step that are undone. `'completed'`: only calls that have an output.
   * `'attempted'`: also calls that failed, timed out or were interrupted. Their output is
   * undefined, and `currentStep().compensates` has their idempotency key. Required with `timeout`.
   * (default: `'completed'`)
   */
  compensateOn?: On;
}

/** Function that is the body of a step. */
export type StepFunction = (this: unknown, ...args: never[]) => unknown;

/** Declaration of a method with `@Step()`. */
export interface StepDeclaration {
  /** Prototype of the class in which the decorated method is declared. */
  readonly place: object;
  readonly method: string;
  /** Name in the options of `@Step`; undefined when they contain none. */
  readonly name: string | undefined;
  readonly isTransactional: boolean;
  /** Options of `@Step`; undefined for a step that an earlier version of the package declared. */
  readonly options?: StepMethodOptions<unknown[]>;
  /** Function with which `@Step()` has replaced the method. */
  readonly step: StepFunction;
  /**
   * Turns another function into a step with the same options. The function is an override of the
   * method, or the result of a decorator above `@Step()`.
   *
   * @param standsFor class whose name the step's name contains when the function belongs to a plain
   *   object, which has no class of its own
   */
  wrap(body: StepFunction, standsFor?: Function): StepFunction;
}

interface Registry {
  readonly declarations: WeakMap<object, Map<string, StepDeclaration>>;
  /**
   * Keys of `declarations`. The references are weak, so that classes can be garbage-collected: test
   * runners load them again and again in one process.
   */
  readonly places: Set<WeakRef<object>>;
  readonly steps: WeakSet<Function>;
}

// There is one registry per process, because a base class may come from a library that has its own
// copy of this package.
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

/** Marks a function as a step, whose calls are recorded in the run. */
export function markStep(step: Function): void {
  registry.steps.add(step);
}

export function isStep(value: unknown): boolean {
  return typeof value === 'function' && registry.steps.has(value);
}

/** Returns the steps that the prototype itself declares, not those it inherits, by method name. */
export function declaredAt(place: object): ReadonlyMap<string, StepDeclaration> {
  return registry.declarations.get(place) ?? NONE;
}

const NONE: ReadonlyMap<string, StepDeclaration> = new Map();

/**
 * Returns the steps of an object and of its prototypes, by method name. If several prototypes
 * declare the same method, returns the most derived declaration.
 */
export function declarationsOf(start: object | null): ReadonlyMap<string, StepDeclaration> {
  const found = new Map<string, StepDeclaration>();
  for (const place of chainOf(start)) {
    for (const [method, declaration] of declaredAt(place)) if (!found.has(method)) found.set(method, declaration);
  }
  return found;
}

/** Lists the prototypes that declare steps and have not been garbage-collected. */
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
