import { checkName } from './ids.js';
import type { StandardSchema } from './standard-schema.js';

/** A class decorated with `@Workflow`: its `run` takes an input, which may be absent, and a context. */
export interface WorkflowClass {
  // Properties, not methods, and never[]: methods are compared loosely, and any class would do.
  new (...args: never[]): { run: (...args: never[]) => Promise<unknown> };
}

/** A workflow whose types are known: a class or a ref. */
export type WorkflowTarget = WorkflowClass | WorkflowRef<never, unknown>;

/** What a client can start: a class, a ref, or a name, of which no types are known. */
export type Startable = WorkflowTarget | string;

/**
 * The input of a workflow: what its static `input` schema takes, else what its `run` takes, `void` when that is nothing. `never` when `run` does not take what
 * the schema gives, `unknown` for a name.
 */
export type InputOf<W extends Startable> = W extends string
  ? unknown
  : W extends WorkflowRef<infer I, unknown>
    ? I
    : W extends new (...args: never[]) => { run: (...args: infer A) => Promise<unknown> }
      ? W extends { readonly input: StandardSchema<infer I, infer P> }
        ? [P] extends [A[0]]
          ? I
          : never
        : A extends []
          ? void
          : A[0]
      : never;

/** What a workflow returns. */
export type OutputOf<W extends Startable> = W extends string
  ? unknown
  : W extends WorkflowRef<never, infer O>
    ? O
    : W extends new (...args: never[]) => { run: (...args: never[]) => Promise<infer O> }
      ? O
      : never;

const REF = Symbol.for('nestjs-durable.ref');

/** A workflow that this process does not have as a class: its name, and the types of its input and output. */
export interface WorkflowRef<I, O> {
  readonly name: string;
  readonly [REF]: { readonly input: (input: I) => void; readonly output: () => O } | true;
}

/**
 * Names a workflow for processes that start it and do not have its class.
 *
 * @example
 * const order = workflowRef<Order, Receipt>('order');
 * const handle = await client.start(order, { number: 7 });
 */
export function workflowRef<I = unknown, O = unknown>(name: string): WorkflowRef<I, O> {
  return { name: checkName(name, 'name of the workflow'), [REF]: true };
}

export function isWorkflowRef(target: unknown): target is WorkflowRef<unknown, unknown> {
  return typeof target === 'object' && target !== null && REF in target;
}

/** The arguments after the workflow: an input of `void` or `undefined` may be left out. */
export type StartArguments<I, Options> =
  IsNothing<I> extends true
    ? [input?: undefined, options?: Options]
    : undefined extends I
      ? [input?: I, options?: Options]
      : [input: I, options?: Options];

/** The input alone; of `void` or `undefined` it may be left out. */
export type InputArguments<I> = IsNothing<I> extends true ? [input?: undefined] : undefined extends I ? [input?: I] : [input: I];

/** `true` for the types `void` and `undefined`; `false` for `any`, although `any` is assignable to both. */
export type IsNothing<T> = 0 extends 1 & T ? false : [T] extends [void] ? true : false;
