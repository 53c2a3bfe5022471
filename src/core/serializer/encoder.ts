import { types } from 'node:util';

import { PayloadTooLargeError, SerializationError } from '../errors/index.js';
import { isPromise } from '../async.js';
import { copyProperties } from './copy.js';
import type { ErrorBudget } from './error-budget.js';
import { errorRecord, isError, nonErrorRecord } from './error-record.js';
import type { RecordWriter } from './error-record.js';
import { escapeTag, HOLE, TAG, UNDEFINED } from './json.js';
import type { Json, JsonObject } from './json.js';
import { encodeLeaf, textLengthOf } from './leaves.js';
import { isOpaque } from './opaque.js';
import { formatPath, mapKey, mapValue, setMember } from './path.js';
import type { Segment } from './path.js';
import { linkReferences, referenceTo } from './references.js';
import type { Reference } from './references.js';
import { SizeLimit } from './size-limit.js';
import { typeOfInstance, type RegisteredType } from './types.js';

/** Deeper values are refused. Well below where V8 or PostgreSQL run out of stack, also when each level is a Map (three of JSON's). */
const MAX_DEPTH = 1_000;

/** An array can claim any length; this many elements are beyond every payload limit, and their text still fits in memory. */
const MAX_ELEMENTS = 10_000_000;

/** What the JSON of these takes at least, in characters. */
const TAGGED = 24;
const REFERENCE = 28;

/** Stands for an object whose own members are being encoded: meeting it again means a cycle. */
const OPEN = Symbol('open');

/**
 * Turns one value into the tree that is stored.
 *
 * Every object is copied before its members are looked at, so getters and proxies are read once, and what was checked is
 * what is stored. A shallow copy costs less than asking for each property's descriptor.
 */
export class Encoder implements RecordWriter {
  readonly stacks: RecordWriter['stacks'] = 'kept';
  private readonly seen = new Map<object, Json | typeof OPEN>();
  private readonly path: Segment[] = [];
  protected readonly references: Reference[] = [];
  /** The objects seen since the outermost `attempt` began, to be forgotten if it fails. Absent outside of one. */
  private trail: object[] | undefined;
  /** How far down the object is that was entered last: the part of `path` that counts. */
  private depth = 0;
  private isTooDeep = false;
  private readonly size: SizeLimit;

  /**
   * @param budget bounds the record of what was thrown
   * @param maxBytes the most that the text of a payload may take
   */
  constructor(
    private readonly root: string,
    readonly budget: ErrorBudget | undefined,
    maxBytes = Number.POSITIVE_INFINITY,
  ) {
    this.size = new SizeLimit(root, maxBytes);
  }

  payload(value: unknown): Json {
    try {
      return this.link(this.value(value, '', 0));
    } catch (cause) {
      throw this.asSerializationError(cause);
    }
  }

  /** The record of what was thrown. */
  thrown(value: unknown): Json {
    if (!isError(value)) return this.link(nonErrorRecord(value, this));
    this.seen.set(value, OPEN);
    return this.link(this.errorRecord(value));
  }

  attempt(value: unknown, key: string | number): Json | undefined {
    const isOutermost = this.trail === undefined;
    const trail = (this.trail ??= []);
    const marks = { trail: trail.length, references: this.references.length, depth: this.depth };
    const encode = (): Json => this.value(value, key, this.depth + 1);
    try {
      // An error bounds itself.
      if (!this.budget || isError(value)) return encode();
      const json = this.size.within(this.budget.roomForProperty, encode);
      if (this.budget.keeps(json)) return json;
    } catch (cause) {
      // Left out; but a payload is never cut off in silence for being deep or large.
      if (!this.budget && (this.isTooDeep || cause instanceof RangeError || cause instanceof PayloadTooLargeError)) throw cause;
    } finally {
      this.depth = marks.depth;
      if (isOutermost) this.trail = undefined;
    }
    // Nothing may refer to what is not stored.
    for (const object of trail.splice(marks.trail)) this.seen.delete(object);
    this.references.length = marks.references;
    return undefined;
  }

  attemptAll(entries: readonly (readonly [string, unknown])[]): JsonObject {
    const kept: [string, Json][] = [];
    for (const [key, value] of entries) {
      const json = this.attempt(value, key);
      if (json !== undefined) kept.push([key, json]);
    }
    const members = Object.fromEntries(kept);
    return Object.hasOwn(members, TAG) ? escapeTag(members) : members;
  }

  protected link(json: Json): Json {
    if (this.references.length > 0) linkReferences(json, this.references);
    return json;
  }

  protected value(value: unknown, segment: Segment, depth: number): Json {
    switch (typeof value) {
      case 'string':
        this.size.spend(value.length + 2);
        return value;
      case 'boolean':
        return value;
      case 'number':
        this.size.spend(isPlainNumber(value) ? 1 : TAGGED);
        return isPlainNumber(value) ? value : { [TAG]: 'number', value: value === 0 ? '-0' : String(value) };
      case 'undefined':
        this.size.spend(TAGGED - 1);
        return UNDEFINED;
      case 'bigint':
        this.size.spend(TAGGED);
        return { [TAG]: 'bigint', value: String(value) };
      case 'object':
        return value === null ? null : this.object(value, segment, depth);
      default:
        throw this.failure(segment, depth, `a ${typeof value} is not data`);
    }
  }

  private object(value: object, segment: Segment, depth: number): Json {
    if (depth > 0) this.path[depth - 1] = segment;
    this.depth = depth;
    const known = this.seen.get(value);
    if (known !== undefined) return this.again(known, segment, depth);
    if (depth >= MAX_DEPTH) {
      this.isTooDeep = true;
      throw this.failure(segment, depth, `it is nested more than ${MAX_DEPTH} levels deep`);
    }
    this.seen.set(value, OPEN);
    this.trail?.push(value);
    const json = this.content(value, segment, depth);
    this.seen.set(value, json);
    return json;
  }

  private again(known: Json | typeof OPEN, segment: Segment, depth: number): Json {
    if (known === OPEN) throw this.failure(segment, depth, 'it refers to an object that contains it (a cycle)');
    // What toJSON made of an instance may be a mere string.
    if (typeof known !== 'object' || known === null) {
      this.size.spend(1 + lengthOf(known));
      return known;
    }
    this.size.spend(REFERENCE);
    const reference = referenceTo(known);
    this.references.push(reference);
    return reference.node;
  }

  protected content(value: object, segment: Segment, depth: number): Json {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) {
      const type = this.typeOf(prototype as object);
      // What is thrown stays an error whose message SQL can read.
      if (type && !(this.budget && isError(value))) return this.typed(value, type, depth);
      return Array.isArray(value) ? this.array(value, depth) : this.special(value, segment, depth);
    }
    if (Array.isArray(value)) return this.array(value, depth);
    const copy = this.copy(value, depth);
    return typeof copy.toJSON === 'function' ? this.fromToJSON(value, copy.toJSON, segment, depth) : this.members(copy, depth);
  }

  /** The registration of a class. */
  protected typeOf(prototype: object): RegisteredType | undefined {
    return typeOfInstance(prototype);
  }

  private array(value: readonly unknown[], depth: number): Json[] {
    const { length } = value;
    // Each element takes a character and a comma: what is far too long, or sparse, is not even begun.
    this.size.expect(2 * length);
    this.size.spend(length + 1);
    if (length > MAX_ELEMENTS) throw this.failure(undefined, depth, `it has ${length} elements and may have ${MAX_ELEMENTS}`);
    const result: Json[] = [];
    for (let index = 0; index < length; index++) {
      // For the error, should reading the element throw.
      this.path[depth] = index;
      this.depth = depth + 1;
      const element = value[index];
      if (element === undefined && !(index in value)) {
        this.size.spend(TAGGED - 6);
        result.push(HOLE);
      } else {
        result.push(this.value(element, index, depth + 1));
      }
    }
    return result;
  }

  /** Replaces, in the copy, whatever JSON cannot hold. Most members are left untouched, which is why this is fast. */
  private members(copy: Record<string, unknown>, depth: number): JsonObject {
    let isTagged = false;
    let bytes = 1;
    // for-in over what a spread made is three times as fast as Object.keys.
    for (const key in copy) {
      const member = copy[key];
      if (key === TAG) isTagged = true;
      bytes += key.length + 4;
      if (typeof member === 'string') {
        bytes += member.length + 2;
        continue;
      }
      if (member === null || typeof member === 'boolean') continue;
      if (typeof member === 'number' && isPlainNumber(member)) {
        bytes++;
        continue;
      }
      // An own key, `__proto__` included, is written as data. (Somebody may have extended Object.prototype.)
      if (Object.hasOwn(copy, key)) copy[key] = this.value(member, key, depth + 1);
    }
    this.size.spend(bytes);
    return isTagged ? escapeTag(copy as JsonObject) : (copy as JsonObject);
  }

  /** Everything whose class is not Object: built-ins first, then `toJSON`, else the instance's own properties. */
  private special(value: object, segment: Segment, depth: number): Json {
    const kind: string = Object.prototype.toString.call(value);
    if (kind === '[object Map]' && types.isMap(value)) return this.map(value, depth);
    if (kind === '[object Set]' && types.isSet(value)) return this.set(value, depth);
    this.size.expect(textLengthOf(value));
    const leaf = encodeLeaf(value, kind);
    if (leaf) {
      this.size.spend(TAGGED + textLengthOf(value));
      return leaf;
    }
    if (isError(value)) return { [TAG]: 'error', ...this.errorRecord(value) };
    if (types.isBoxedPrimitive(value)) return this.value(value.valueOf(), segment, depth);
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === 'function') return this.fromToJSON(value, toJSON, segment, depth);
    if (isOpaque(value, kind)) throw this.failure(undefined, depth, `a ${kind.slice(8, -1)} is not data`);
    return this.members(this.copy(value, depth), depth);
  }

  private map(map: ReadonlyMap<unknown, unknown>, depth: number): JsonObject {
    const entries: Json[] = [];
    for (const [key, value] of Map.prototype.entries.call(map)) {
      const index = entries.length;
      this.size.spend(4);
      entries.push([this.value(key, mapKey(index), depth + 1), this.value(value, mapValue(key, index), depth + 1)]);
    }
    return { [TAG]: 'map', entries };
  }

  private set(set: ReadonlySet<unknown>, depth: number): JsonObject {
    const values: Json[] = [];
    for (const value of Set.prototype.values.call(set)) values.push(this.value(value, setMember(values.length), depth + 1));
    return { [TAG]: 'set', values };
  }

  private errorRecord(error: Error): JsonObject {
    if (this.budget && !this.budget.open) throw new RangeError('No room for one more error');
    this.budget?.enter();
    try {
      const record = errorRecord(error, this);
      // What a budget bounds need not be counted.
      if (!this.budget) this.size.spend(lengthOf(record.name) + lengthOf(record.message) + lengthOf(record.stack));
      return record;
    } finally {
      this.budget?.leave();
    }
  }

  private typed(value: object, type: RegisteredType, depth: number): JsonObject {
    const data: unknown = type.serialize(value);
    if (isPromise(data))
      throw this.failure(() => '.serialize()', depth + 1, `type "${type.name}" must be serialized synchronously, not by a promise`);
    if (data === value) throw this.failure(undefined, depth, `serialize of type "${type.name}" returned the instance itself`);
    return { [TAG]: 'type', name: type.name, value: this.value(data, () => '.serialize()', depth + 1) };
  }

  /** As JSON.stringify does, except that what toJSON returns may have a toJSON of its own. */
  private fromToJSON(value: object, toJSON: Function, segment: Segment, depth: number): Json {
    const result: unknown = toJSON.call(value, typeof segment === 'function' ? '' : String(segment));
    if (result === value) return this.members(this.copy(value, depth), depth);
    if (isPromise(result)) throw this.failure(() => '.toJSON()', depth + 1, 'it is a promise, and must be given synchronously');
    return this.value(result, () => '.toJSON()', depth + 1);
  }

  private copy(value: object, depth: number): Record<string, unknown> {
    return copyProperties(value, (key, cause) => this.failure(key, depth + 1, 'its getter threw', cause), this.size);
  }

  /** @param segment the last step of the path, unless the value at fault is the object that was entered last */
  private failure(segment: Segment | undefined, depth: number, detail: string, cause?: unknown): SerializationError {
    if (segment !== undefined && depth > 0) this.path[depth - 1] = segment;
    return new SerializationError(formatPath(this.root, this.path.slice(0, depth)), detail, { cause });
  }

  /** Revoked proxies, a toJSON that throws, too deep a stack. */
  protected asSerializationError(cause: unknown): SerializationError | PayloadTooLargeError {
    if (cause instanceof SerializationError || cause instanceof PayloadTooLargeError) return cause;
    const detail = cause instanceof RangeError ? 'it is too large or nested too deeply' : 'reading it failed';
    return this.failure(undefined, this.depth, `${detail} (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
}

function lengthOf(text: Json | undefined): number {
  return typeof text === 'string' ? text.length : 0;
}

function isPlainNumber(value: number): boolean {
  return value === 0 ? 1 / value > 0 : Number.isFinite(value);
}
