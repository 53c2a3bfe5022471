import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { checkName } from '../../core/ids.js';

const STEPS_OF = Symbol.for('nestjs-durable.steps-of');
const names = new WeakMap<Function, string>();

/**
 * Sets the name of an injectable class in the keys of its steps: `payment.charge` instead of
 * `PaymentService.charge`. The name stays the same when the class is renamed or the build is
 * minified. Do not change the name while runs that used it are in progress.
 *
 * The name applies to the decorated class alone; a subclass has its own name. (default: the name of
 * the class)
 *
 * @param name name that is unique among the classes with steps, of at most 240 characters
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

/** Returns true when this class itself, not a base class, is decorated with `@StepsOf`. */
export function hasStepsName(type: Function): boolean {
  return Object.hasOwn(type, STEPS_OF);
}

/**
 * Returns the prefix of the step names of a class: the name in `@StepsOf`, or else the name of the
 * class.
 *
 * @throws WorkflowConfigurationError when the class has no name
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
 * Returns the class whose name is the prefix of a class's step names: the class itself, or its
 * nearest base class that has a name. A class that a decorator has created may have no name.
 *
 * @throws WorkflowConfigurationError when no such class has a name
 */
export function namingClassOf(type: Function): Function {
  for (let each: unknown = type; typeof each === 'function' && each !== Function.prototype; each = Object.getPrototypeOf(each)) {
    // A static member called `name` may have any value, so the type is checked.
    const name: unknown = each.name;
    if (hasStepsName(each) || (typeof name === 'string' && name !== '')) return each;
  }
  throw new WorkflowConfigurationError("a class without a name has steps: name it with @StepsOf('...')");
}
