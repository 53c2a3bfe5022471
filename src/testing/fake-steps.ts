import { InvalidInputError } from '../core/errors/index.js';
import { declarationsOf } from '../nest/decorators/step-declarations.js';
import { copyMetadata } from '../nest/decorators/step-method.js';

/** Names of the methods of `T` that can be steps. */
export type StepName<T> = { [K in keyof T]: T[K] extends (...args: never[]) => Promise<unknown> ? K : never }[keyof T] & string;

/** Arguments of a step. */
export type StepArguments<T, K extends keyof T> = T[K] extends (...args: infer A) => Promise<unknown> ? A : never;

/** Function that stands for the body of a step: same arguments, same result. */
export type StepFake<T, K extends keyof T> = T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R | Promise<R> : never;

/** Step whose body a test has replaced. */
export interface FakedStep<A extends unknown[]> {
  /** Arguments of each execution of the fake, in order. Replays execute no body. */
  readonly calls: readonly A[];
  /** Gives the step its own body back. */
  restore(): void;
}

/** Class or abstract class, such as one under which an application provides an injectable. */
export type ClassOf<T> = abstract new (...args: never[]) => T;

/** Application that creates the instances of its classes. */
interface Instances {
  get(token: ClassOf<unknown>, options: { strict: false }): unknown;
}

/** Steps that the tests of one application have replaced. */
export class FakeSteps {
  private readonly restores = new Set<() => void>();

  constructor(private readonly instances: Instances) {}

  /**
   * Replaces the body of a step. The step keeps its name, key, retries and timeout.
   *
   * @throws InvalidInputError when the method is no step, or the application has no such provider
   */
  replace<A extends unknown[]>(type: ClassOf<unknown>, method: string, fake: (...args: A) => unknown): FakedStep<A> {
    const prototype = type.prototype as object;
    const declaration = declarationsOf(prototype).get(method);
    if (!declaration) throw new InvalidInputError('method', `must be a step: ${type.name}.${method} has no @Step()`);
    const target = this.targetOf(type);
    const calls: A[] = [];
    const body = function (this: unknown, ...args: A): unknown {
      calls.push(args);
      return fake.apply(this, args);
    };
    const isLiteral = Object.getPrototypeOf(target) === Object.prototype;
    const step = declaration.wrap(body as never, isLiteral ? type : undefined);
    copyMetadata(declaration.step, step);
    const before = Object.getOwnPropertyDescriptor(target, method);
    Object.defineProperty(target, method, { configurable: true, writable: true, enumerable: false, value: step });
    const restore = (): void => {
      if (!this.restores.delete(restore)) return;
      if (before) Object.defineProperty(target, method, before);
      else Reflect.deleteProperty(target, method);
    };
    this.restores.add(restore);
    return { calls, restore };
  }

  /** Gives all steps their own bodies back, the last replacement first. */
  restoreAll(): void {
    for (const restore of [...this.restores].reverse()) restore();
  }

  /**
   * Returns the object whose method a workflow calls: the instance of the application, or the
   * prototype when each run or each injection has an instance of its own.
   */
  private targetOf(type: ClassOf<unknown>): object {
    try {
      return this.instances.get(type, { strict: false }) as object;
    } catch (cause) {
      if ((cause as Error).constructor.name === 'InvalidClassScopeException') return type.prototype as object;
      throw new InvalidInputError('type', `must be a provider of the application, and ${type.name} is none`, { cause });
    }
  }
}
