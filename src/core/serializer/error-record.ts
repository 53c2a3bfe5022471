import { types } from 'node:util';

import type { ErrorBudget } from './error-budget.js';
import type { Json, JsonObject } from './json.js';

/**
 * Key of the class names of this package's errors, by which `instanceof` recognises them. The same
 * key as in errors/workflow-error.ts.
 */
const LINEAGE = Symbol.for('nestjs-durable.error');

const NATIVE = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError };

/** Fields of the record itself. All other own properties are in `data`. */
const FIELDS = new Set(['name', 'message', 'stack', 'code', 'cause']);

/** Encoder of the values in a record. */
export interface RecordWriter {
  /** Returns the value as JSON, or undefined when the value cannot be stored. */
  attempt(value: unknown, key: string | number): Json | undefined;
  /** Returns the values that can be stored, as JSON, by their keys. */
  attemptAll(entries: readonly (readonly [string, unknown])[]): JsonObject;
  /** Bounds of the record; absent for an error that is part of a payload. */
  readonly budget: ErrorBudget | undefined;
  readonly stacks: 'kept' | 'left out';
}

export function isError(value: unknown): value is Error {
  // instanceof alone misses errors of another realm (Jest has one per test file). isNativeError
  // alone misses objects that were made by Object.create(Error.prototype).
  if (types.isNativeError(value) || value instanceof Error) return true;
  // A DOMException of another realm is neither.
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object DOMException]';
}

/**
 * Returns the record of an error, with plain fields that SQL can read: `error->>'message'`.
 *
 * Properties that cannot be stored are left out. An error of an HTTP client holds its sockets, and
 * a SerializationError must not take its place.
 */
export function errorRecord(error: object, writer: RecordWriter): JsonObject {
  const { budget } = writer;
  const message = textOf(read(error, 'message')) ?? '';
  const stack = writer.stacks === 'kept' ? textOf(read(error, 'stack')) : undefined;
  const record: JsonObject = { name: bounded(nameOf(error), budget), message: bounded(message, budget) };
  if (stack !== undefined) record.stack = budget ? budget.stack(stack, message) : stack;
  const lineage = read(error, LINEAGE);
  if (Array.isArray(lineage)) record.lineage = lineage.filter((name) => typeof name === 'string');
  const code = read(error, 'code');
  if (code !== undefined) add(record, 'code', writer.attempt(code, 'code'));
  const cause = read(error, 'cause');
  if (cause !== undefined) add(record, 'cause', writer.attempt(cause, 'cause'));
  const errors = read(error, 'errors');
  if (Array.isArray(errors) && isHidden(error, 'errors')) {
    const members = (budget ? budget.errors(errors) : errors).map((member, index) => writer.attempt(member, index));
    record.errors = members.filter((member) => member !== undefined);
  }
  const data = writer.attemptAll(ownEntries(error));
  if (Object.keys(data).length > 0) record.data = data;
  return record;
}

/**
 * Returns the record of a thrown value that is not an Error. The value itself is the `cause`, and
 * the `name` is `NonError` unless the value has one.
 */
export function nonErrorRecord(thrown: unknown, writer: RecordWriter): JsonObject {
  const like: object = typeof thrown === 'object' && thrown !== null ? thrown : {};
  const message = textOf(read(like, 'message')) ?? describe(thrown);
  const record: JsonObject = {
    name: bounded(textOf(read(like, 'name')) ?? 'NonError', writer.budget),
    message: bounded(message, writer.budget),
  };
  const code = read(like, 'code');
  if (code !== undefined) add(record, 'code', writer.attempt(code, 'code'));
  add(record, 'cause', writer.attempt(thrown, 'cause'));
  return record;
}

/**
 * Makes the Error of a record. A native error has its class again. An error of this package
 * satisfies `instanceof` by its lineage.
 */
export function reviveError(record: JsonObject, revive: (json: Json) => unknown): Error {
  const field = (key: string): unknown => (Object.hasOwn(record, key) ? revive(record[key]!) : undefined);
  const name = textOf(field('name')) ?? 'Error';
  const message = textOf(field('message')) ?? '';
  const errors = field('errors');
  const error = create(name, message, errors);
  const hidden = (key: PropertyKey, value: unknown): void => {
    Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
  };
  if (error.name !== name) hidden('name', name);
  hidden('stack', textOf(field('stack')) ?? `${name}: ${message}`);
  if (Object.hasOwn(record, 'cause')) hidden('cause', field('cause'));
  if (errors !== undefined) hidden('errors', errors);
  const lineage = field('lineage');
  if (lineage !== undefined) hidden(LINEAGE, lineage);
  const data = field('data') ?? {};
  for (const [key, value] of [...(Object.hasOwn(record, 'code') ? [['code', field('code')] as const] : []), ...Object.entries(data)]) {
    // Not an assignment, because a key may be `__proto__`.
    Object.defineProperty(error, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return error;
}

function create(name: string, message: string, errors: unknown): Error {
  if (errors !== undefined) return new AggregateError([], message);
  const Native = Object.hasOwn(NATIVE, name) ? NATIVE[name as keyof typeof NATIVE] : Error;
  return Native === AggregateError ? new AggregateError([], message) : new (Native as ErrorConstructor)(message);
}

/**
 * Returns the name of an error. A class that does not set `name` inherits the name of its native
 * base. The name of the class is then used, because it says more and `StepFailedError.is` compares
 * it.
 */
function nameOf(error: object): string {
  const name = textOf(read(error, 'name')) ?? 'Error';
  if (Object.hasOwn(error, 'name') || !Object.hasOwn(NATIVE, name)) return name;
  const errorClass = read(error, 'constructor');
  const className = typeof errorClass === 'function' ? textOf(read(errorClass, 'name')) : undefined;
  return className === undefined || className === '' ? name : className;
}

function ownEntries(error: object): (readonly [string, unknown])[] {
  const keys = Object.keys(error).filter((key) => !FIELDS.has(key));
  return keys.map((key) => [key, read(error, key)] as const);
}

/** Reads a property. Returns undefined when the getter throws. */
function read(target: object, key: PropertyKey): unknown {
  try {
    return (target as Record<PropertyKey, unknown>)[key];
  } catch {
    return undefined;
  }
}

function add(record: JsonObject, key: string, json: Json | undefined): void {
  if (json !== undefined) record[key] = json;
}

/** True for an own property that is not enumerable, as `errors` is of an AggregateError. */
function isHidden(error: object, key: string): boolean {
  return Object.hasOwn(error, key) && !Object.prototype.propertyIsEnumerable.call(error, key);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function bounded(text: string, budget: ErrorBudget | undefined): string {
  return budget ? budget.message(text) : text;
}

function describe(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown;
  if (typeof thrown === 'function') return 'a function was thrown';
  if (typeof thrown === 'object' && thrown !== null) return 'an object that is not an Error was thrown';
  return `${String(thrown)} was thrown`;
}
