import type { Json, JsonObject } from './json.js';
import { linkReferences, referenceTo, type Reference } from './references.js';

/**
 * State of an object whose own members are being encoded. Reaching the object again means a cycle.
 */
export const OPEN = Symbol('open');

/**
 * Records the objects that one encoding has reached, with their JSON, to find shared objects and
 * cycles.
 */
export class ReachedObjects {
  private readonly states = new Map<object, Json | typeof OPEN>();
  private readonly references: Reference[] = [];
  /**
   * Objects reached since the outermost `attempt` began, to be forgotten if the attempt fails.
   * Absent outside of an attempt.
   */
  private trail: object[] | undefined;

  get hasReferences(): boolean {
    return this.references.length > 0;
  }

  find(object: object): Json | typeof OPEN | undefined {
    return this.states.get(object);
  }

  open(object: object): void {
    this.states.set(object, OPEN);
    this.trail?.push(object);
  }

  close(object: object, json: Json): void {
    this.states.set(object, json);
  }

  /** Makes a reference to the tree of an object that was reached before. */
  referTo(target: Json[] | JsonObject): JsonObject {
    const reference = referenceTo(target);
    this.references.push(reference);
    return reference.node;
  }

  /** Fills in the paths of the references, once the tree is complete. */
  link(root: Json): Json {
    if (this.references.length > 0) linkReferences(root, this.references);
    return root;
  }

  /**
   * Encodes a value that may be left out. When `encode` returns undefined, the objects and
   * references of the attempt are forgotten, because nothing may refer to an object that is not
   * stored.
   */
  attempt(encode: () => Json | undefined): Json | undefined {
    const isOutermost = this.trail === undefined;
    const trail = (this.trail ??= []);
    const reached = trail.length;
    const referred = this.references.length;
    try {
      const json = encode();
      if (json !== undefined) return json;
    } finally {
      if (isOutermost) this.trail = undefined;
    }
    for (const object of trail.splice(reached)) this.states.delete(object);
    this.references.length = referred;
    return undefined;
  }
}
