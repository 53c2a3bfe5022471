import { InvalidInputError } from '../../core/errors/index.js';
import { escapeStepText } from '../../core/step-key-format.js';
import { isPromise } from '../../core/async.js';
import { toRejection, callStep } from '../../engine/call-step.js';
import { executionScope } from '../../engine/current.js';
import { classOf, declareStep, markStep, type StepDeclaration, type StepFunction, type StepMethodOptions } from './step-declarations.js';
import { compensationOfCall } from './step-compensation.js';
import { stepsNameOf } from './steps-of.js';

/** Declaration of a step on a prototype, with its options. */
class DeclaredStep implements StepDeclaration {
  readonly name: string | undefined;
  readonly isTransactional: boolean;
  readonly step: StepFunction;

  constructor(
    readonly place: object,
    readonly method: string,
    original: StepFunction,
    readonly options: StepMethodOptions<unknown[]>,
  ) {
    this.name = options.name;
    this.isTransactional = options.transactional !== undefined;
    this.step = this.wrap(original);
  }

  wrap(body: StepFunction, standsFor?: Function): StepFunction {
    const step = stepOf(body as (...args: unknown[]) => unknown, this, standsFor);
    copyMetadata(body, step);
    markStep(step);
    return step as StepFunction;
  }
}

/**
 * Declares a method of a prototype as a step.
 *
 * @returns the function that must replace the method
 */
export function makeStep(place: object, method: string, original: StepFunction, options: StepMethodOptions<unknown[]>): StepFunction {
  const declared = new DeclaredStep(place, method, original, options);
  declareStep(place, declared);
  return declared.step;
}

/**
 * Copies the metadata that decorators have stored on a function to the function that replaces it.
 */
export function copyMetadata(from: Function, to: Function): void {
  for (const key of Reflect.getMetadataKeys(from) as unknown[]) {
    Reflect.defineMetadata(key, Reflect.getMetadata(key, from), to);
  }
}

function stepOf(original: (...args: unknown[]) => unknown, declared: DeclaredStep, standsFor: Function | undefined): Function {
  const { place, method, options } = declared;
  const { name, key, retry, timeout, transactional, limit } = options;
  const step = function (this: object, ...args: unknown[]): unknown {
    const scope = executionScope.getStore();
    if (!scope) return original.apply(this, args);
    const { pass } = scope;
    if (scope.step) {
      pass.code?.interceptor?.began(scope.step);
      return original.apply(this, args);
    }
    return toRejection(() => {
      const { definition } = pass;
      const type = definition.owns(this) ? undefined : (standsFor ?? classOf(this) ?? place.constructor);
      const stepName = name ?? (type === undefined ? method : `${stepsNameOf(type)}.${method}`);
      definition.claimName?.(stepName, name === undefined ? (type ?? definition) : declared);
      const stepOptions = {
        ...(key === undefined ? {} : { key: keyOf(key, args, `key of step "${stepName}"`) }),
        ...(retry === undefined ? {} : { retry }),
        ...(timeout === undefined ? {} : { timeout }),
        ...(transactional === undefined ? {} : { transactional }),
        ...(limit === undefined ? {} : { limit }),
      };
      const undo = compensationOfCall(pass, this, options, stepName);
      const body = (given: readonly unknown[]): unknown => {
        const interceptor = pass.code?.interceptor;
        // Nest's guards and interceptors read the metadata of the decorated method (`step`), so
        // they run around that method and not around the original one. A decorated method that is
        // called inside a step executes only its body, so no second step begins.
        return interceptor ? interceptor.execute(this, step, method, given) : original.apply(this, given as unknown[]);
      };
      return callStep(pass, stepName, stepOptions, args, body, undo);
    });
  };
  Object.defineProperty(step, 'name', { value: original.name });
  return step;
}

function keyOf(key: (...args: unknown[]) => string, args: unknown[], argument: string): string {
  const text = key(...args);
  if (isPromise(text)) throw new InvalidInputError(argument, 'must be a string: its function returned a promise');
  // Called for its check of the type. A key function that returns undefined by mistake must fail:
  // its call would otherwise silently count as a call without a key.
  escapeStepText(text, argument);
  return text;
}
