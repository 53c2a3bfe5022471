import { InvalidInputError } from '../core/errors/index.js';
import { declarationsOf } from '../nest/decorators/step-declarations.js';
import { copyMetadata } from '../nest/decorators/step-method.js';

/** Names of the methods of `T` that can be steps. */
export type StepName<T> = { [K in keyof T]: T[K] extends (...args: never[]) => Promise<unknown> ? K : never }[keyof T] & string;

/** Arguments of a step. */
export type StepArguments<T, K extends keyof T> = T[K] extends (...args: infer A) => Promise<unknown> ? A : never;

/** Function that replaces the body of a step, with the same arguments and the same result. */
export type StepFake<T, K extends keyof T> = T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R | Promise<R> : never;

/** Step whose body a test has replaced. */
export interface FakedStep<A extends unknown[]> {
  /** Arguments of each execution of the fake, in order. Replays execute no body. */
  readonly calls: readonly A[];
  /** Restores the body of the step. */
  restore(): void;
}

/** Class or abstract class, such as one under which an application provides an injectable. */
export type ClassOf<T> = abstract new (...args: never[]) => T;

/** Application that creates the instances of its classes. */
interface Instances {
  get(token: ClassOf<unknown>, options: { strict: false }): unknown;
}

/** Body with which a test has replaced the body of a step. */
interface Replacement {
  readonly target: object;
  readonly method: string;
  readonly step: unknown;
}

/** Steps that the tests of one application have replaced. */
export class FakeSteps {
  /** Replacements that were not undone, the latest one last. */
  private replacements: Replacement[] = [];
  /** Methods that the targets themselves had before the first replacement. */
  private readonly originals = new Map<object, Map<string, PropertyDescriptor | undefined>>();

  constructor(private readonly instances: Instances) {}

  /**
   * Replaces the body of a step. The step keeps its name, key, retries and timeout.
   *
   * @param argument name of the step in errors, when it is an option (default: the arguments of
   *   `fakeStep`)
   * @throws InvalidInputError when the method is no step, the fake no function, or the application
   *   has no such provider
   */
  replace<A extends unknown[]>(type: ClassOf<unknown>, method: string, fake: (...args: A) => unknown, argument?: string): FakedStep<A> {
    const prototype: unknown = typeof type === 'function' ? type.prototype : undefined;
    if (typeof prototype !== 'object' || prototype === null) throw new InvalidInputError('type', 'must be a class');
    const declaration = declarationsOf(prototype).get(method);
    if (!declaration) throw new InvalidInputError(argument ?? 'method', `must be a step: ${type.name}.${String(method)} has no @Step()`);
    if (typeof fake !== 'function') throw new InvalidInputError(argument ?? 'fake', 'must be a function');
    const target = this.targetOf(type);
    const calls: A[] = [];
    const body = function (this: unknown, ...args: A): unknown {
      calls.push(args);
      return fake.apply(this, args);
    };
    const isLiteral = Object.getPrototypeOf(target) === Object.prototype;
    const step = declaration.wrap(body as never, isLiteral ? type : undefined);
    copyMetadata(declaration.step, step);
    this.keepOriginal(target, method);
    const replacement: Replacement = { target, method, step };
    this.replacements.push(replacement);
    this.show(replacement);
    return { calls, restore: () => this.undo(replacement) };
  }

  /** Undoes all replacements, the latest one first. */
  restoreAll(): void {
    for (const replacement of [...this.replacements].reverse()) this.undo(replacement);
  }

  /** Undoes a replacement. The latest remaining replacement of the step applies afterwards. */
  private undo(undone: Replacement): void {
    if (!this.replacements.includes(undone)) return;
    this.replacements = this.replacements.filter((each) => each !== undone);
    const { target, method } = undone;
    const latest = this.replacements.findLast((each) => each.target === target && each.method === method);
    const original = this.originals.get(target)!.get(method);
    if (latest) this.show(latest);
    else if (original) Object.defineProperty(target, method, original);
    else Reflect.deleteProperty(target, method);
  }

  private show({ target, method, step }: Replacement): void {
    Object.defineProperty(target, method, { configurable: true, writable: true, enumerable: false, value: step });
  }

  private keepOriginal(target: object, method: string): void {
    if (this.replacements.some((each) => each.target === target && each.method === method)) return;
    const known = this.originals.get(target) ?? new Map<string, PropertyDescriptor | undefined>();
    this.originals.set(target, known.set(method, Object.getOwnPropertyDescriptor(target, method)));
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
      throw new InvalidInputError('type', `must be a provider of the application: ${type.name} is not one`, { cause });
    }
  }
}
