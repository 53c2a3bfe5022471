import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkName } from '../core/ids.js';

const STEPS_OF = Symbol.for('nestjs-durable.steps-of');
const names = new WeakMap<Function, string>();

/**
 * Names an injectable for the keys of its steps: `payment.charge` instead of `PaymentService.charge`. The name survives a renamed
 * class and a minified build; keep it for as long as runs are under way. Without it the class's own name is used.
 *
 * The name is that of the decorated class alone: a subclass uses its own.
 *
 * @param name unique among the classes with steps; at most 240 characters
 * @throws InvalidInputError when the name is not usable
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

/** Tells whether `@StepsOf` names this very class. */
export function hasStepsName(type: Function): boolean {
  return Object.hasOwn(type, STEPS_OF);
}

/**
 * Returns the name that the steps of a class carry: what `@StepsOf` says, else the class's own name.
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
 * Returns the class whose name the steps of a class carry: itself, or the nearest that it extends where it has no name, such as a
 * class that a decorator returns.
 *
 * @throws WorkflowConfigurationError when there is none
 */
export function namingClassOf(type: Function): Function {
  for (let each: unknown = type; typeof each === 'function' && each !== Function.prototype; each = Object.getPrototypeOf(each)) {
    // A static member called `name` may be anything.
    const name: unknown = each.name;
    if (hasStepsName(each) || (typeof name === 'string' && name !== '')) return each;
  }
  throw new WorkflowConfigurationError("a class without a name has steps: give it one by @StepsOf('...')");
}
