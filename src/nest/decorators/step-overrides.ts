import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { chainOf, declarationsOf, declaredAt, declareStep, isStep, markStep, type StepDeclaration } from './step-declarations.js';
import { copyMetadata } from './step-method.js';

/** Kinds of functions that cannot be steps. */
export const GENERATORS: ReadonlySet<string> = new Set(['GeneratorFunction', 'AsyncGeneratorFunction']);

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Turns overrides of steps into steps, with the options of the overridden method. Otherwise an
 * override would be a plain method, which every replay of the workflow function executes again.
 *
 * @param start an instance, or the prototype of a class
 * @throws WorkflowConfigurationError naming an override that cannot be a step
 */
export function adoptOverrides(start: object): void {
  const inherited = new Map<string, StepDeclaration>();
  for (const place of [...chainOf(start)].reverse()) {
    const own = declaredAt(place);
    for (const [method, declaration] of own) inherited.set(method, declaration);
    for (const [method, declaration] of inherited) {
      if (adopt(place, method, declaration) && Object.hasOwn(place, 'constructor')) declareStep(place, declaration);
    }
  }
}

/**
 * Finds fields that hide a step method of the same name, in a class that has no instance yet.
 * Searches the source text of the class. Each new instance gets such a field of its own, so the
 * boot cannot turn the field into a step.
 *
 * @returns the fields, such as `Stripe.charge`
 */
export function fieldsInPlaceOfSteps(type: Function, prototype: object): string[] {
  const found: string[] = [];
  for (const [method, { place }] of declarationsOf(prototype)) {
    for (let each = type; each !== place.constructor && each !== Function.prototype; each = Object.getPrototypeOf(each) as Function) {
      const field = new RegExp(`(?:\\bthis\\.|[;{}]\\s*)${method.replaceAll('$', '\\$')}\\s*=(?![=>])`);
      if (field.test(Function.prototype.toString.call(each))) found.push(`${each.name}.${method}`);
    }
  }
  return found;
}

/**
 * Turns the methods of a substitute into steps. A substitute (a fake, or another implementation) is
 * provided under a class with steps, but does not extend that class. Callers of the substitute know
 * only that class, and expect the methods to be steps.
 *
 * @param instance the provided object
 * @param type the class under which the object is provided
 * @throws WorkflowConfigurationError naming a method that cannot be a step
 */
export function adoptSubstitute(instance: object, type: Function): void {
  for (const [method, declaration] of declarationsOf((type.prototype as object | undefined) ?? null)) {
    for (const place of chainOf(instance)) {
      const descriptor = Object.getOwnPropertyDescriptor(place, method);
      if (!descriptor) continue;
      const isLiteral = place === instance && Object.getPrototypeOf(instance) === Object.prototype;
      if (!isStep(descriptor.value)) replace(instance, method, descriptor, declaration, isLiteral ? type : undefined);
      break;
    }
  }
}

/**
 * Wraps the step around the decorators above `@Step()`, so that their code surrounds only the body
 * of the step. If the decorators surrounded the call of the step, their promise would stay pending
 * while the run is suspended. A decorator that opens a transaction would keep the transaction open.
 */
export function putStepOnTop(place: object, declaration: StepDeclaration): void {
  try {
    adopt(place, declaration.method, declaration);
  } catch {
    // Ignore the error here. If the class is a provider, the boot meets the same error and fails.
  }
}

/**
 * Replaces an own property of the object by a step, if the property exists and is no step yet.
 *
 * @param method name of the property
 * @returns true when the property was replaced
 */
function adopt(place: object, method: string, declaration: StepDeclaration): boolean {
  const descriptor = Object.getOwnPropertyDescriptor(place, method);
  if (!descriptor || isStep(descriptor.value)) return false;
  // A decorator above `@Step()` has replaced the method with a getter, which binds the method to
  // each instance. The bound method is already a step.
  if (descriptor.get && place === declaration.place) return false;
  return replace(place, method, descriptor, declaration, undefined);
}

function replace(
  place: object,
  method: string,
  descriptor: PropertyDescriptor,
  declaration: StepDeclaration,
  standsFor: Function | undefined,
): boolean {
  const refuse = (why: string): never => {
    const [owner, base] = [place, declaration.place].map((each) => each.constructor.name);
    throw new WorkflowConfigurationError(
      `${owner}.${method} replaces step ${base}.${method} and cannot be a step: ${why}. Make it an async method with @Step()`,
    );
  };
  if (descriptor.get) return refuse('it is a getter');
  const body: unknown = descriptor.value;
  if (typeof body !== 'function') return false;
  if (GENERATORS.has(body.constructor.name)) return refuse('it is a generator');
  const isReplaceable = Object.hasOwn(place, method) ? descriptor.configurable || descriptor.writable : Object.isExtensible(place);
  if (!isReplaceable) return refuse('the object is frozen');
  const step = declaration.wrap(body as never, standsFor) as AnyFunction;
  // The function may be a mock. A proxy around the function lets tests still read the mock's
  // recorded calls.
  const proxy = new Proxy(body as AnyFunction, { apply: (_, self, args) => Reflect.apply(step, self, args) });
  // A decorator above `@Step()` may have replaced the method. The decorators below it have stored
  // their metadata on the replaced method, so copy that metadata too.
  const noted = place === declaration.place ? [declaration.step, body] : [body];
  for (const from of noted) for (const to of [step, proxy]) copyMetadata(from, to);
  markStep(proxy);
  if (descriptor.configurable || !Object.hasOwn(place, method)) {
    Object.defineProperty(place, method, { ...descriptor, configurable: true, writable: true, value: proxy });
  } else {
    (place as Record<string, unknown>)[method] = proxy;
  }
  return true;
}
