import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkName } from '../core/ids.js';

const STEPS_OF = Symbol.for('nestjs-durable.steps-of');
const names = new WeakMap<Function, string>();

/**
 * Names an injectable for the keys of its steps: `payment.charge` instead of
 * `PaymentService.charge`. The name survives a renamed class and a minified build. Keep the name
 * while runs that used it are in progress. (default: the name of the class)
 *
 * The name applies to the decorated class alone; a subclass uses its own.
 *
 * @param name unique among the classes with steps; at most 240 characters
 * @throws InvalidInputError when the name is invalid
 * @example
 * @Injectable()
 * @StepsOf('payment')
 * export class PaymentService {
 *   @Step()
 *   async charge(order: Order): Promise<Charge> { ... }   // the step "payment.charge"
 * }
 */
export function StepsOf(name: string): ClassDecorator {
  return (target) => {
    Object.defineProperty(target, STEPS_OF, { value: checkName(name, `@StepsOf() on ${target.name}`), configurable: true });
    names.delete(target);
  };
}

/** Returns true when `@StepsOf` names this class itself. */
export function hasStepsName(type: Function): boolean {
  return Object.hasOwn(type, STEPS_OF);
}

/**
 * Returns the name that precedes the steps of a class: the name given by `@StepsOf`, or else the
 * name of the class.
 *
 * @throws WorkflowConfigurationError when there is no name
 */
export function stepsNameOf(type: Function): string {
  let name = names.get(type);
  if (name === undefined) {
    const named = namingClassOf(type);
    name = hasStepsName(named) ? (named as unknown as Record<symbol, string>)[STEPS_OF]! : named.name;
    names.set(type, name);
  }
  return name;
}

/**
 * Returns the class that names the steps of a class: the class itself, or its nearest named base
 * class. A class that a decorator returns may have no name.
 *
 * @throws WorkflowConfigurationError when there is no such class
 */
export function namingClassOf(type: Function): Function {
  for (let each: unknown = type; typeof each === 'function' && each !== Function.prototype; each = Object.getPrototypeOf(each)) {
    // A static member called `name` may have any value.
    const name: unknown = each.name;
    if (hasStepsName(each) || (typeof name === 'string' && name !== '')) return each;
  }
  throw new WorkflowConfigurationError("a class without a name has steps: name it with @StepsOf('...')");
}
