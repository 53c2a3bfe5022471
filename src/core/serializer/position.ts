import { PayloadTooLargeError, SerializationError } from '../errors/index.js';
import { formatPath, type Segment } from './path.js';

/** Place that an encoder has reached in a value. Creates the errors that name the place. */
export class Position {
  /** Level of the object that was entered last: the number of valid segments in `path`. */
  depth = 0;
  private readonly path: Segment[] = [];

  /** @param root the name of the value in errors */
  constructor(private readonly root: string) {}

  /** Moves to an object at level `depth`. `segment` is the key of the object in its container. */
  enter(segment: Segment, depth: number): void {
    if (depth > 0) this.path[depth - 1] = segment;
    this.depth = depth;
  }

  /**
   * Makes the error for a value that cannot be stored.
   *
   * @param segment the last segment of the path; undefined when the error is about the object that
   *   was entered last
   */
  failure(segment: Segment | undefined, depth: number, detail: string, cause?: unknown): SerializationError {
    if (segment !== undefined && depth > 0) this.path[depth - 1] = segment;
    return new SerializationError(formatPath(this.root, this.path.slice(0, depth)), detail, { cause });
  }

  /**
   * Returns a SerializationError or PayloadTooLargeError as it is. Converts any other error to a
   * SerializationError that names the place. Such an error may come from a revoked proxy, a toJSON
   * that throws, or an exhausted stack.
   */
  asSerializationError(cause: unknown): SerializationError | PayloadTooLargeError {
    if (cause instanceof SerializationError || cause instanceof PayloadTooLargeError) return cause;
    const detail = cause instanceof RangeError ? 'it is too large or nested too deeply' : 'reading it failed';
    return this.failure(undefined, this.depth, `${detail} (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
}
