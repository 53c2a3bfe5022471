/**
 * A shallow copy of an object's own enumerable properties: every getter is read once, here.
 *
 * @param refusal makes the error to throw when the getter of a key threw
 */
export function copyProperties(value: object, refusal: (key: string, cause: unknown) => Error): Record<string, unknown> {
  try {
    return { ...value };
  } catch {
    return copyOneByOne(value, refusal);
  }
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
