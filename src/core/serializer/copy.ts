import { types } from 'node:util';

import type { SizeLimit } from './size-limit.js';

/**
 * A shallow copy of an object's own enumerable properties: every getter is read once, here.
 *
 * @param refusal makes the error to throw when the getter of a key threw
 * @param size what the value may still take
 */
export function copyProperties(value: object, refusal: (key: string, cause: unknown) => Error, size: SizeLimit): Record<string, unknown> {
  if (types.isProxy(value)) return copyProxy(value, refusal, size);
  try {
    return { ...value };
  } catch {
    return copyOneByOne(value, refusal);
  }
}

/** What a proxy gives need not exist anywhere before it is asked for, and may be without end. */
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

/** A getter threw: finds out which. (Or one of a symbol key, and those do not count.) */
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
