import type { CompensateOn } from '../../core/compensation.js';
import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { policyOf } from '../../engine/call-step.js';
import type { PassHandle } from '../../engine/pass-handle.js';
import type { UndoSource } from '../../engine/undo.js';
import { chainOf, declaredAt, isStep, type StepMethodOptions } from './step-declarations.js';

/** Type of a step's output as its compensation gets it. */
type OutputFor<M extends (...args: never[]) => Promise<unknown>, On extends CompensateOn> =
  | ([Awaited<ReturnType<M>>] extends [void] ? undefined : Awaited<ReturnType<M>>)
  | ('attempted' extends On ? undefined : never);

/**
 * Resolves to `unknown` when the class has a public method with the name of the compensation, and
 * the method accepts the output and the arguments of the step. Otherwise resolves to a text that
 * the compiler shows as the error.
 */
export type CompensationFits<T, M extends (...args: never[]) => Promise<unknown>, Name extends string, On extends CompensateOn> = [
  Name,
] extends [never]
  ? unknown
  : Name extends keyof T
    ? T[Name] extends (...args: [output: OutputFor<M, On>, ...args: Parameters<M>]) => unknown
      ? unknown
      : 'the compensation does not accept the output of the step, followed by its arguments'
    : 'compensate names no public method of the class';

/**
 * Checks that a class has the method that undoes a step.
 *
 * @throws WorkflowConfigurationError
 */
export function checkCompensationMethod(place: object, method: string, where: string): void {
  for (const each of chainOf(place)) {
    const descriptor = Object.getOwnPropertyDescriptor(each, method);
    if (!descriptor) continue;
    if (typeof descriptor.value === 'function') return;
    break;
  }
  throw new WorkflowConfigurationError(`${where}: compensate names "${method}", which is no method of the class`);
}

/**
 * Returns the compensation of one call of a step.
 *
 * @param target object on which the step was called
 * @throws WorkflowConfigurationError when the object lacks the method, for example a fake
 */
export function compensationOfCall(
  pass: PassHandle,
  target: object,
  { compensate, compensateOn }: StepMethodOptions<unknown[]>,
  step: string,
): UndoSource | undefined {
  if (compensate === undefined) return undefined;
  const method: unknown = (target as Record<string, unknown>)[compensate];
  if (typeof method !== 'function') {
    const { name } = target.constructor;
    throw new WorkflowConfigurationError(`${name} has no method "${compensate}", which undoes step "${step}"`);
  }
  return {
    on: compensateOn,
    policy: policyOfMethod(pass, target, compensate),
    body: (output, args) => {
      const interceptor = pass.code?.interceptor;
      // Guards and interceptors run around a method with @Step, as they do when it is called as a
      // step. Inside a body, a decorated method executes only its own body.
      if (interceptor && isStep(method)) return interceptor.execute(target, method, compensate, [output, ...args]);
      return Reflect.apply(method, target, [output, ...args]) as unknown;
    },
  };
}

/** Returns the policy in the `@Step` of a method; undefined when the method has no `@Step`. */
function policyOfMethod(pass: PassHandle, target: object, method: string): UndoSource['policy'] {
  for (const place of chainOf(target)) {
    const declaration = declaredAt(place).get(method);
    if (!declaration) continue;
    const { retry, timeout, transactional, limit } = declaration.options ?? {};
    const options = {
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(transactional === undefined ? {} : { transactional }),
      ...(limit === undefined ? {} : { limit }),
    };
    return policyOf(pass.definition, method, options);
  }
  return undefined;
}
