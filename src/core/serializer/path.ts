/**
 * Part of the path to a place in a value: a key, an index or, inside a Map or a Set, a function.
 * The function returns the text and is called only when an error shows the path.
 */
export type Segment = string | number | (() => string);

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
/**
 * Limits that keep a message readable. A longer path is shortened in the middle, a longer key at
 * its end.
 */
const MAX_SEGMENTS = 24;
const MAX_KEY_LENGTH = 100;

/** Returns the path as code would write it: `input.items[3]["unit price"]`. */
export function formatPath(root: string, segments: readonly Segment[]): string {
  if (segments.length <= MAX_SEGMENTS) return root + segments.map(formatSegment).join('');
  const half = MAX_SEGMENTS / 2;
  const head = segments.slice(0, half).map(formatSegment).join('');
  const tail = segments.slice(-half).map(formatSegment).join('');
  return `${root}${head} ...${segments.length - MAX_SEGMENTS} more... ${tail}`;
}

/**
 * Returns the segment for the value that a Map holds under `key`. A key that is not a string or a
 * number is shown by its position.
 */
export function mapValue(key: unknown, index: number): Segment {
  if (typeof key !== 'string' && typeof key !== 'number') return () => `.values()[${index}]`;
  return () => `.get(${typeof key === 'string' ? quote(key) : key})`;
}

export function mapKey(index: number): Segment {
  return () => `.keys()[${index}]`;
}

export function setMember(index: number): Segment {
  return () => `.values()[${index}]`;
}

function formatSegment(segment: Segment): string {
  if (typeof segment === 'function') return segment();
  if (typeof segment === 'number') return `[${segment}]`;
  return segment.length <= MAX_KEY_LENGTH && IDENTIFIER.test(segment) ? `.${segment}` : `[${quote(segment)}]`;
}

function quote(key: string): string {
  return JSON.stringify(key.length > MAX_KEY_LENGTH ? `${key.slice(0, MAX_KEY_LENGTH)}...` : key);
}
