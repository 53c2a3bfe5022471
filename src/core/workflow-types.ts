import type { ElementOfBatch, ResultOfMember } from './batch.js';
import { checkName } from './ids.js';
import type { StandardSchema } from './standard-schema.js';

/**
 * A class decorated with `@Workflow`. Its `run` takes an input, which may be absent, and a context.
 */
export interface WorkflowClass {
  // `never[]` accepts a `run` with parameters of any type. `run` is declared as a property, because
  // TypeScript compares the parameters of methods less strictly.
  new (...args: never[]): { run: (...args: never[]) => Promise<unknown> };
}

/**
 * A workflow whose input and output types are known: a class, or a reference made by `workflowRef`.
 */
export type WorkflowTarget = WorkflowClass | WorkflowRef<never, unknown>;

/**
 * A workflow that a client can start: a class, a reference made by `workflowRef`, or a name. For a
 * name, the types of input and output are unknown.
 */
export type Startable = WorkflowTarget | string;

/**
 * The input type of a workflow: the input of its static `input` schema, or else the first parameter
 * of `run`, or one element of it when the parameter is a `Batch`. `void` when `run` has no
 * parameter. `never` when `run` does not accept the output of the schema. `unknown` for a name.
 */
export type InputOf<W extends Startable> = W extends string
  ? unknown
  : W extends WorkflowRef<infer I, unknown>
    ? I
    : W extends new (...args: never[]) => { run: (...args: infer A) => Promise<unknown> }
      ? W extends { readonly input: StandardSchema<infer I, infer P> }
        ? [P] extends [ElementOfBatch<A[0]>]
          ? I
          : never
        : A extends []
          ? void
          : ElementOfBatch<A[0]>
      : never;

/**
 * The output type of a workflow: the result of `run`, or the result of one member of a batch.
 * `unknown` for a name.
 */
export type OutputOf<W extends Startable> = W extends string
  ? unknown
  : W extends WorkflowRef<never, infer O>
    ? O
    : W extends new (...args: never[]) => { run: (...args: infer A) => Promise<infer O> }
      ? ResultOfMember<A[0], O>
      : never;

const REF = Symbol.for('nestjs-durable.ref');

/**
 * Reference to a workflow whose class is not in this process: its name, with the types of its input
 * and output.
 */
export interface WorkflowRef<I, O> {
  /** Name of the workflow. */
  readonly name: string;
  readonly [REF]: { readonly input: (input: I) => void; readonly output: () => O } | true;
}

/**
 * Makes a reference to a workflow, for processes that start the workflow and do not have its class.
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

/**
 * Arguments that follow the workflow in a start: the input and the options. The input may be
 * omitted when its type includes `void` or `undefined`.
 */
export type StartArguments<I, Options> =
  IsNothing<I> extends true
    ? [input?: undefined, options?: Options]
    : undefined extends I
      ? [input?: I, options?: Options]
      : [input: I, options?: Options];

/**
 * Arguments of a call that takes only the input of a workflow. The input may be omitted when its
 * type includes `void` or `undefined`.
 */
export type InputArguments<I> = IsNothing<I> extends true ? [input?: undefined] : undefined extends I ? [input?: I] : [input: I];

/**
 * `true` for the types `void` and `undefined`; `false` for `any`, although `any` is assignable to
 * both.
 */
export type IsNothing<T> = 0 extends 1 & T ? false : [T] extends [void] ? true : false;
