import type { Kit } from './kit.js';

/** Change of one attribute; null removes the attribute. */
export interface AttributeChange {
  readonly key: string;
  readonly value: string | null;
}

const MAX_ATTRIBUTES = 64;
const MAX_KEY_CHARACTERS = 256;
const MAX_VALUE_BYTES = 256;

/** Rules about the attributes of a run, which the kit expects its World to enforce. */
export class AttributeRules {
  constructor(private readonly kit: Kit) {}

  /** Checks the attributes with which a run is created. */
  checkInitial(attributes: unknown, allowReserved: boolean): void {
    if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes))
      throw this.error('attributes must be an object');
    const changes = Object.entries(attributes as Record<string, unknown>).map(([key, value]) => ({ key, value }));
    for (const { value } of changes) if (value === null) throw this.error('the value of an attribute must be a string');
    this.apply({}, this.checkChanges(changes, allowReserved));
  }

  /** Checks changes of attributes. */
  checkChanges(changes: unknown, allowReserved: boolean): AttributeChange[] {
    if (!Array.isArray(changes)) throw this.error('changes must be an array');
    const keys = new Set<string>();
    return changes.map((change: unknown) => {
      if (typeof change !== 'object' || change === null) throw this.error('a change must be an object');
      const { key, value } = change as { key?: unknown; value?: unknown };
      if (typeof key !== 'string' || key === '') throw this.error('the key of an attribute must be a text that is not empty');
      if (key.length > MAX_KEY_CHARACTERS) throw this.error(`the key of an attribute must have at most ${MAX_KEY_CHARACTERS} characters`);
      if (key.startsWith('$') && !allowReserved) throw this.error(`attribute ${JSON.stringify(key)} is reserved for frameworks`);
      if (keys.has(key)) throw this.error(`attribute ${JSON.stringify(key)} is changed twice`);
      keys.add(key);
      if (value !== null && typeof value !== 'string') throw this.error('the value of an attribute must be a string or null');
      if (value !== null && Buffer.byteLength(value) > MAX_VALUE_BYTES)
        throw this.error(`the value of an attribute must have at most ${MAX_VALUE_BYTES} bytes`);
      return { key, value };
    });
  }

  /** Applies checked changes. */
  apply(attributes: Record<string, string>, changes: readonly AttributeChange[]): Record<string, string> {
    const next = new Map(Object.entries(attributes));
    for (const { key, value } of changes) {
      if (value === null) next.delete(key);
      else next.set(key, value);
    }
    if (next.size > MAX_ATTRIBUTES) throw this.error(`a run must have at most ${MAX_ATTRIBUTES} attributes`);
    return Object.fromEntries(next);
  }

  private error(text: string): Error {
    return this.kit.attributeError(text);
  }
}
