import { types } from 'node:util';

import type { ErrorBudget } from './error-budget.js';
import type { Json, JsonObject } from './json.js';

/**
 * Key under which this package's errors hold the names of their classes, by which `instanceof`
 * recognises the errors. The key in errors/workflow-error.ts is the same.
 */
const LINEAGE = Symbol.for('nestjs-durable.error');

const NATIVE = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError };

/**
 * Properties of an error that have a field of their own in the record. All other own properties are
 * stored in `data`.
 */
const FIELDS = new Set(['name', 'message', 'stack', 'code', 'cause']);

/** Encodes the values inside the record of an error. */
export interface RecordWriter {
  /** Returns the value as JSON, or undefined when the value cannot be stored. */
  attempt(value: unknown, key: string | number): Json | undefined;
  /** Returns the values that can be stored, as JSON, by their keys. */
  attemptAll(entries: readonly (readonly [string, unknown])[]): JsonObject;
  /** Size limits of the record; absent for an error that is part of a payload. */
  readonly budget: ErrorBudget | undefined;
  readonly stacks: 'kept' | 'left out';
}

export function isError(value: unknown): value is Error {
  // instanceof alone misses errors of another realm (Jest has one realm per test file).
  // isNativeError alone misses objects that were made by Object.create(Error.prototype).
  if (types.isNativeError(value) || value instanceof Error) return true;
  // Both checks miss a DOMException of another realm.
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object DOMException]';
}

/**
 * Returns the record of an error, with plain fields that SQL can read: `error->>'message'`.
 *
 * Properties that cannot be stored are left out. For example, the error of an HTTP client holds
 * sockets. Without this rule, a SerializationError would replace the HTTP error.
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
 * the `name` is `NonError` unless the value has a `name` of its own.
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
 * Rebuilds the Error from its record. A native error gets its class back. An error of this package
 * satisfies `instanceof`, because the record holds the names of its classes.
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
    // An assignment would change the prototype if the key is `__proto__`.
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
 * Returns the name of an error. A class that does not set `name` inherits the name of a native
 * class, such as `Error`. The name of the class is then used instead, because that name says more
 * and `StepFailedError.is` compares it.
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

/** True for an own property that is not enumerable, such as `errors` of an AggregateError. */
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
