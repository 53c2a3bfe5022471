import { PayloadUnreadableError } from '../errors/index.js';
import { TAG } from './json.js';
import type { Json, JsonObject } from './json.js';

/**
 * Reference to an object that occurs more than once in a value. The object is stored at its first
 * place. Each later place holds `{"$durable":"ref","path":[...]}` with the path of the first place
 * in the stored JSON. In SQL, `output #> path` reads the object. Values that share no objects have
 * no references and no extra cost.
 */
export interface Reference {
  readonly node: JsonObject;
  /** Encoded form of the object, at the object's first place in the tree. */
  readonly target: Json[] | JsonObject;
}

export function referenceTo(target: Json[] | JsonObject): Reference {
  return { node: { [TAG]: 'ref', path: [] }, target };
}

/**
 * Fills in the paths of references, which are known only when the tree is complete. Walks the tree
 * once for any number of references.
 */
export function linkReferences(root: Json, references: readonly Reference[]): void {
  const waiting = new Map<object, JsonObject[]>();
  for (const { node, target } of references) {
    const nodes = waiting.get(target);
    if (nodes) nodes.push(node);
    else waiting.set(target, [node]);
  }
  const path: Json[] = [];
  const walk = (json: Json): void => {
    if (typeof json !== 'object' || json === null || waiting.size === 0) return;
    const nodes = waiting.get(json);
    if (nodes) {
      for (const node of nodes) node.path = [...path];
      waiting.delete(json);
    }
    if (Array.isArray(json)) {
      for (let index = 0; index < json.length; index++) descend(index, json[index]!);
    } else {
      for (const key of Object.keys(json)) descend(key, json[key]!);
    }
  };
  const descend = (key: string | number, child: Json): void => {
    if (typeof child !== 'object' || child === null) return;
    path.push(key);
    walk(child);
    path.pop();
  };
  walk(root);
}

/**
 * Returns the target of each reference in a stored tree. Must be called before the decoder changes
 * the tree, because the paths are those of the stored form.
 */
export function findReferences(root: Json): Map<object, object> {
  const found = new Map<object, object>();
  const walk = (json: Json): void => {
    if (typeof json !== 'object' || json === null) return;
    if (Array.isArray(json)) {
      for (const member of json) walk(member);
      return;
    }
    const tag = Object.hasOwn(json, TAG) ? json[TAG] : undefined;
    if (tag === 'ref') {
      found.set(json, follow(root, json.path));
      return;
    }
    // An object with the tag `object` is a wrapped object of the application. Its members are in
    // `value`, and a tag key among them is data.
    const members = tag === 'object' ? (json.value as JsonObject) : json;
    for (const key of Object.keys(members)) walk(members[key]!);
  };
  walk(root);
  return found;
}

function follow(root: Json, path: Json | undefined): object {
  let current: Json | undefined = root;
  for (const key of Array.isArray(path) ? (path as (string | number)[]) : []) {
    const isInside: boolean = typeof current === 'object' && current !== null && Object.hasOwn(current, key);
    current = isInside ? (current as JsonObject)[key] : undefined;
  }
  if (typeof current !== 'object' || current === null) {
    throw new PayloadUnreadableError('a stored value', `its reference to ${JSON.stringify(path)} leads nowhere`);
  }
  return current;
}
