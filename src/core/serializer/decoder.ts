import { PayloadUnreadableError } from '../errors/index.js';
import { isPromise } from '../async.js';
import { reviveError } from './error-record.js';
import { TAG } from './json.js';
import type { Json, JsonObject } from './json.js';
import { decodeLeaf } from './leaves.js';
import { findReferences } from './references.js';
import { typeNamed } from './types.js';
import { isEscaped, mayHoldEscapes, unescapeString } from './text.js';

/**
 * Rebuilds rich values, such as Date and Map, in a tree that JSON.parse returned. The tree is
 * changed in place: plain objects and arrays are reused, not copied.
 */
export class Decoder {
  private readonly references: ReadonlyMap<object, object> | undefined;
  /**
   * Objects to which references point. Each has its decoded value, or undefined until the object is
   * decoded. Absent when the tree has no references.
   */
  private readonly shared: Map<object, { readonly value: unknown } | undefined> | undefined;
  private readonly hasEscapes: boolean;

  /** @param text the JSON text of `root`; shows whether the tree may have escapes and references */
  constructor(root: Json, text: string) {
    this.hasEscapes = mayHoldEscapes(text);
    if (!text.includes('"ref"')) return;
    this.references = findReferences(root);
    this.shared = new Map();
    for (const target of this.references.values()) this.shared.set(target, undefined);
  }

  /** Decodes one value. The method is an arrow function, because it is passed on as a callback. */
  readonly value = (json: Json): unknown => {
    if (typeof json === 'string') return unescapeString(json);
    if (typeof json !== 'object' || json === null) return json;
    if (!this.shared?.has(json)) return this.content(json);
    const done = this.shared.get(json);
    if (done) return done.value;
    const value = this.content(json);
    this.shared.set(json, { value });
    return value;
  };

  /**
   * Decodes a record that `encodeError` has written. Unlike an error inside a payload, such a
   * record has no tag.
   */
  error(record: JsonObject): Error {
    return reviveError(record, this.value);
  }

  private content(json: Json[] | JsonObject): unknown {
    if (Array.isArray(json)) return this.members(json);
    const tag = json[TAG];
    return tag === undefined ? this.object(json) : this.tagged(json, tag);
  }

  private members(json: Json[]): unknown[] {
    const result: unknown[] = json;
    for (let index = 0; index < json.length; index++) {
      const element = json[index]!;
      if (isHole(element)) Reflect.deleteProperty(result, index);
      else result[index] = this.value(element);
    }
    return result;
  }

  private object(json: JsonObject): Record<string, unknown> {
    const result: Record<string, unknown> = json;
    for (const key in json) {
      const member = json[key];
      if (typeof member !== 'object' && !(this.hasEscapes && typeof member === 'string')) continue;
      // Only own keys are data, `__proto__` included. The loop also finds inherited keys when a
      // library has extended Object.prototype.
      if (member !== null && Object.hasOwn(json, key)) result[key] = this.value(member);
    }
    return this.hasEscapes ? unescapeKeys(result) : result;
  }

  private tagged(node: JsonObject, tag: Json): unknown {
    switch (tag) {
      case 'undefined':
        return undefined;
      case 'object':
        return this.object(node.value as JsonObject);
      case 'map':
        return new Map((node.entries as [Json, Json][]).map(([key, value]) => [this.value(key), this.value(value)]));
      case 'set':
        return new Set((node.values as Json[]).map(this.value));
      case 'error':
        return this.error(node);
      case 'type':
        return this.typed(node);
      case 'ref':
        return this.value(this.references?.get(node) as JsonObject);
      default: {
        const leaf = typeof tag === 'string' ? decodeLeaf(tag, node, text) : undefined;
        if (leaf !== undefined) return leaf;
        throw new PayloadUnreadableError('a stored value', `its tag ${JSON.stringify(tag)} is unknown, perhaps from a newer version`);
      }
    }
  }

  private typed(node: JsonObject): unknown {
    const name = text(node.name);
    const type = typeNamed(name);
    if (!type) throw new PayloadUnreadableError('a stored value', `its type ${JSON.stringify(name)} is not registered here`);
    const data = this.value(node.value!);
    let value: unknown;
    try {
      value = type.deserialize(data);
    } catch (cause) {
      // The PayloadUnreadableError appears in logs, so its text omits the message of the thrown
      // error. That message may quote the data.
      throw new PayloadUnreadableError('a stored value', `deserialize of its type ${JSON.stringify(name)} threw`, { cause });
    }
    if (isPromise(value))
      throw new PayloadUnreadableError(
        'a stored value',
        `deserialize of its type ${JSON.stringify(name)} returned a promise; it must be synchronous`,
      );
    return value;
  }
}

function isHole(json: Json): boolean {
  return typeof json === 'object' && json !== null && !Array.isArray(json) && json[TAG] === 'hole';
}

function unescapeKeys(object: Record<string, unknown>): Record<string, unknown> {
  if (!Object.keys(object).some(isEscaped)) return object;
  return Object.fromEntries(Object.entries(object).map(([key, member]) => [unescapeString(key), member]));
}

function text(json: Json | undefined): string {
  return unescapeString(json as string);
}
