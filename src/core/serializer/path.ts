/**
 * One level down into a value: a key or an index. For Maps and the like, a function that makes the
 * text when an error shows the path.
 */
export type Segment = string | number | (() => string);

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
/** Limits that keep a message readable. A longer path loses its middle, a longer key its end. */
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

/** Segment of the value of a Map under `key`. Keys that are objects are shown by their position. */
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
