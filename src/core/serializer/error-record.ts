import { types } from 'node:util';

import type { ErrorBudget } from './error-budget.js';
import type { Json, JsonObject } from './json.js';

/** As in errors/workflow-error.ts: the names of the classes of an error of ours, by which `instanceof` knows it. */
const LINEAGE = Symbol.for('nestjs-durable.error');

const NATIVE = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError };

/** Fields of the record itself; all other own properties are in `data`. */
const FIELDS = new Set(['name', 'message', 'stack', 'code', 'cause']);

/** What a record asks of the one who stores it. */
export interface RecordWriter {
  /** The value as JSON, or undefined when it cannot be stored. */
  attempt(value: unknown, key: string | number): Json | undefined;
  /** The values that can be stored, as JSON, by their keys. */
  attemptAll(entries: readonly (readonly [string, unknown])[]): JsonObject;
  /** Absent where nothing is bounded: in an error that is part of a payload. */
  readonly budget: ErrorBudget | undefined;
  readonly stacks: 'kept' | 'left out';
}

export function isError(value: unknown): value is Error {
  // instanceof alone misses errors of another realm (Jest has one per test file), isNativeError alone those made the old way.
  if (types.isNativeError(value) || value instanceof Error) return true;
  // A DOMException of another realm is neither.
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object DOMException]';
}

/**
 * The plain fields of an error: `error->>'message'` in SQL.
 *
 * What cannot be stored of its properties is left out: an error from an HTTP client holds its sockets, and must not hide
 * behind a SerializationError.
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

/** For what was thrown and is no Error: the value itself is the `cause`, and `name` is `NonError` unless it has one. */
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

/** The Error that a record tells of. Natives come back as their class, ours satisfy `instanceof` by their lineage. */
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
    // Not by assignment: a key may be `__proto__`.
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
 * A class that does not set `name` inherits that of its native base; then the class says more, and
 * `StepFailedError.is` asks for it.
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

/** A getter that throws counts as absent. */
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

/** An AggregateError owns its `errors` so; another error's `errors` are data. */
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
