/**
 * Returns text about a thrown value. Never throws, even if the getters of the value do. Code can
 * throw any value, such as a proxy that was revoked.
 *
 * @param read reads the text from the value
 */
export function textOfThrown(read: () => unknown): string {
  try {
    return String(read());
  } catch {
    return 'the thrown value cannot be read';
  }
}

/**
 * Returns the name of a thrown value, without its message. A value without a name is described by
 * its type. Never throws.
 */
export function nameOfThrown(value: unknown): string {
  return textOfThrown(() => {
    const { name } = Object(value) as { name?: unknown };
    return typeof name === 'string' ? name : typeof value;
  });
}
