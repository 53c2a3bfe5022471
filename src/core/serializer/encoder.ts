import { types } from 'node:util';

import { PayloadTooLargeError } from '../errors/index.js';
import { isPromise } from '../async.js';
import { copyProperties } from './copy.js';
import type { ErrorBudget } from './error-budget.js';
import { errorRecord, isError, nonErrorRecord, type RecordWriter } from './error-record.js';
import { escapeTag, HOLE, isPlainNumber, TAG, UNDEFINED, type Json, type JsonObject } from './json.js';
import { encodeLeaf, textLengthOf } from './leaves.js';
import { isOpaque } from './opaque.js';
import { mapKey, mapValue, setMember, type Segment } from './path.js';
import { Position } from './position.js';
import { OPEN, ReachedObjects } from './sharing.js';
import { SizeLimit } from './size-limit.js';
import { typeOfInstance, type RegisteredType } from './types.js';

/**
 * Largest nesting depth of a value. V8 and PostgreSQL run out of stack only at far greater depths,
 * even when each level is a Map, which takes three levels of JSON.
 */
const MAX_DEPTH = 1_000;

/**
 * Largest number of elements of an array. An empty sparse array may have a length of billions, and
 * its text would exhaust the memory. The text of an array at this limit still fits in memory.
 */
const MAX_ELEMENTS = 10_000_000;

/** Least number of characters in the JSON of a tagged value and of a reference. */
const MIN_TAGGED_LENGTH = 24;
const MIN_REFERENCE_LENGTH = 28;

/**
 * Turns one value into the tree that is stored.
 *
 * Every object is copied before its members are checked. Getters and proxies are read once, so the
 * values that were checked are the values that are stored. A shallow copy costs less than reading
 * the descriptor of each property.
 */
export class Encoder implements RecordWriter {
  readonly stacks: RecordWriter['stacks'] = 'kept';
  protected readonly reached = new ReachedObjects();
  private isTooDeep = false;
  private readonly size: SizeLimit;
  protected readonly position: Position;

  /**
   * @param root the name of the value in errors
   * @param budget the size limits for the record of a thrown value; undefined for a payload
   * @param maxBytes the largest size of the payload's text
   */
  constructor(
    root: string,
    readonly budget: ErrorBudget | undefined,
    maxBytes = Number.POSITIVE_INFINITY,
  ) {
    this.size = new SizeLimit(root, maxBytes);
    this.position = new Position(root);
  }

  payload(value: unknown): Json {
    try {
      return this.reached.link(this.value(value, '', 0));
    } catch (cause) {
      throw this.position.asSerializationError(cause);
    }
  }

  /** Encodes a thrown value as the record of an error. */
  thrown(value: unknown): Json {
    if (!isError(value)) return this.reached.link(nonErrorRecord(value, this));
    this.reached.open(value);
    return this.reached.link(this.errorRecord(value));
  }

  attempt(value: unknown, key: string | number): Json | undefined {
    const { depth } = this.position;
    return this.reached.attempt(() => {
      try {
        // An error needs no limit here, because the record of an error has size limits of its own.
        if (!this.budget || isError(value)) return this.value(value, key, depth + 1);
        const json = this.size.within(this.budget.roomForProperty, () => this.value(value, key, depth + 1));
        return this.budget.keeps(json) ? json : undefined;
      } catch (cause) {
        // A property that cannot be stored is left out. Without a budget, the error is part of a
        // payload. A payload that is too deep or too large is refused, never shortened silently.
        if (!this.budget && (this.isTooDeep || cause instanceof RangeError || cause instanceof PayloadTooLargeError)) throw cause;
        return undefined;
      } finally {
        this.position.depth = depth;
      }
    });
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

  protected value(value: unknown, segment: Segment, depth: number): Json {
    switch (typeof value) {
      case 'string':
        this.size.spend(value.length + 2);
        return value;
      case 'boolean':
        return value;
      case 'number':
        this.size.spend(isPlainNumber(value) ? 1 : MIN_TAGGED_LENGTH);
        return isPlainNumber(value) ? value : { [TAG]: 'number', value: value === 0 ? '-0' : String(value) };
      case 'undefined':
        this.size.spend(MIN_TAGGED_LENGTH - 1);
        return UNDEFINED;
      case 'bigint':
        this.size.spend(MIN_TAGGED_LENGTH);
        return { [TAG]: 'bigint', value: String(value) };
      case 'object':
        return value === null ? null : this.object(value, segment, depth);
      default:
        throw this.position.failure(segment, depth, `a ${typeof value} is not data`);
    }
  }

  private object(value: object, segment: Segment, depth: number): Json {
    this.position.enter(segment, depth);
    const known = this.reached.find(value);
    if (known !== undefined) return this.again(known, segment, depth);
    if (depth >= MAX_DEPTH) {
      this.isTooDeep = true;
      throw this.position.failure(segment, depth, `it is nested more than ${MAX_DEPTH} levels deep`);
    }
    this.reached.open(value);
    const json = this.content(value, segment, depth);
    this.reached.close(value, json);
    return json;
  }

  private again(known: Json | typeof OPEN, segment: Segment, depth: number): Json {
    if (known === OPEN) throw this.position.failure(segment, depth, 'it refers to an object that contains it (a cycle)');
    // The object's toJSON returned a primitive, and a primitive needs no reference.
    if (typeof known !== 'object' || known === null) {
      this.size.spend(1 + lengthOf(known));
      return known;
    }
    this.size.spend(MIN_REFERENCE_LENGTH);
    return this.reached.referTo(known);
  }

  protected content(value: object, segment: Segment, depth: number): Json {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) {
      const type = this.typeOf(prototype as object);
      // A thrown error of a registered class is recorded as an error too, so that SQL can read it.
      if (type && !(this.budget && isError(value))) return this.typed(value, type, depth);
      return Array.isArray(value) ? this.array(value, depth) : this.special(value, segment, depth);
    }
    if (Array.isArray(value)) return this.array(value, depth);
    const copy = this.copy(value, depth);
    return typeof copy.toJSON === 'function' ? this.fromToJSON(value, copy.toJSON, segment, depth) : this.members(copy, depth);
  }

  /** Returns the registration of the class with this prototype, if there is one. */
  protected typeOf(prototype: object): RegisteredType | undefined {
    return typeOfInstance(prototype);
  }

  private array(value: readonly unknown[], depth: number): Json[] {
    const { length } = value;
    // Each element takes at least one character and a comma. By this estimate, an array that is far
    // too long is refused before its elements are read.
    this.size.expect(2 * length);
    this.size.spend(length + 1);
    if (length > MAX_ELEMENTS) throw this.position.failure(undefined, depth, `it has ${length} elements and may have ${MAX_ELEMENTS}`);
    const result: Json[] = [];
    for (let index = 0; index < length; index++) {
      // If reading the element throws, the error names this position.
      this.position.enter(index, depth + 1);
      const element = value[index];
      if (element === undefined && !(index in value)) {
        this.size.spend(MIN_TAGGED_LENGTH - 6);
        result.push(HOLE);
      } else {
        result.push(this.value(element, index, depth + 1));
      }
    }
    return result;
  }

  /**
   * Encodes the members of a copied object in place. Most members are plain JSON and stay
   * unchanged, which makes this method fast.
   */
  private members(copy: Record<string, unknown>, depth: number): JsonObject {
    let isTagged = false;
    let bytes = 1;
    // A for-in loop over an object that a spread made is three times as fast as Object.keys.
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
      // Only own keys are data, `__proto__` included. The loop also finds inherited keys when a
      // library has extended Object.prototype.
      if (Object.hasOwn(copy, key)) copy[key] = this.value(member, key, depth + 1);
    }
    this.size.spend(bytes);
    return isTagged ? escapeTag(copy as JsonObject) : (copy as JsonObject);
  }

  /**
   * Encodes an instance of a class. Built-in classes have encodings of their own. Other instances
   * are encoded by their `toJSON`, or else by their own properties.
   */
  private special(value: object, segment: Segment, depth: number): Json {
    const kind: string = Object.prototype.toString.call(value);
    if (kind === '[object Map]' && types.isMap(value)) return this.map(value, depth);
    if (kind === '[object Set]' && types.isSet(value)) return this.set(value, depth);
    this.size.expect(textLengthOf(value));
    const leaf = encodeLeaf(value, kind);
    if (leaf) {
      this.size.spend(MIN_TAGGED_LENGTH + textLengthOf(value));
      return leaf;
    }
    if (isError(value)) return { [TAG]: 'error', ...this.errorRecord(value) };
    if (types.isBoxedPrimitive(value)) return this.value(value.valueOf(), segment, depth);
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === 'function') return this.fromToJSON(value, toJSON, segment, depth);
    if (isOpaque(value, kind)) throw this.position.failure(undefined, depth, `a ${kind.slice(8, -1)} is not data`);
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
      // Without a budget, the record counts towards the size limit of the payload.
      if (!this.budget) this.size.spend(lengthOf(record.name) + lengthOf(record.message) + lengthOf(record.stack));
      return record;
    } finally {
      this.budget?.leave();
    }
  }

  private typed(value: object, type: RegisteredType, depth: number): JsonObject {
    const data: unknown = type.serialize(value);
    if (isPromise(data))
      throw this.position.failure(
        () => '.serialize()',
        depth + 1,
        `type "${type.name}" must be serialized synchronously, and serialize returned a promise`,
      );
    if (data === value) throw this.position.failure(undefined, depth, `serialize of type "${type.name}" returned the instance itself`);
    return { [TAG]: 'type', name: type.name, value: this.value(data, () => '.serialize()', depth + 1) };
  }

  /** Encodes the result of toJSON. Unlike JSON.stringify, calls the toJSON of the result too. */
  private fromToJSON(value: object, toJSON: Function, segment: Segment, depth: number): Json {
    const result: unknown = toJSON.call(value, typeof segment === 'function' ? '' : String(segment));
    if (result === value) return this.members(this.copy(value, depth), depth);
    if (isPromise(result)) throw this.position.failure(() => '.toJSON()', depth + 1, 'it is a promise, and toJSON must be synchronous');
    return this.value(result, () => '.toJSON()', depth + 1);
  }

  private copy(value: object, depth: number): Record<string, unknown> {
    return copyProperties(value, (key, cause) => this.position.failure(key, depth + 1, 'its getter threw', cause), this.size);
  }
}

function lengthOf(text: Json | undefined): number {
  return typeof text === 'string' ? text.length : 0;
}
