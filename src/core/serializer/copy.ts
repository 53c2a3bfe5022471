import { types } from 'node:util';

import type { SizeLimit } from './size-limit.js';

/**
 * Makes a shallow copy of an object's own enumerable properties. Each getter is called once, unless
 * a getter throws.
 *
 * @param refusal returns the error to throw when the getter of `key` has thrown
 * @param size the size limit of the payload; only a proxy is checked against the limit here
 */
export function copyProperties(value: object, refusal: (key: string, cause: unknown) => Error, size: SizeLimit): Record<string, unknown> {
  if (types.isProxy(value)) return copyProxy(value, refusal, size);
  try {
    return { ...value };
  } catch {
    return copyOneByOne(value, refusal);
  }
}

/**
 * Copies a proxy property by property within the size limit. A proxy may generate its properties on
 * demand, without end.
 */
function copyProxy(value: object, refusal: (key: string, cause: unknown) => Error, size: SizeLimit): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  let bytes = 1;
  for (const key of Object.keys(value)) {
    let member: unknown;
    try {
      member = (value as Record<string, unknown>)[key];
    } catch (cause) {
      throw refusal(key, cause);
    }
    bytes += key.length + 4 + (typeof member === 'string' ? member.length + 2 : 0);
    size.expect(bytes);
    entries.push([key, member]);
  }
  return Object.fromEntries(entries);
}

/** Copies property by property to find the getter that threw. Symbol keys are ignored. */
function copyOneByOne(value: object, refusal: (key: string, cause: unknown) => Error): Record<string, unknown> {
  const entries = Object.keys(value).map((key) => {
    try {
      return [key, (value as Record<string, unknown>)[key]] as const;
    } catch (cause) {
      throw refusal(key, cause);
    }
  });
  return Object.fromEntries(entries);
}
