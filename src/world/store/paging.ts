import type { Page, Pagination } from '../contract.js';
import type { Kit } from '../kit.js';

const MAX_LIMIT = 1_000;

/** Checked place and size of a page. */
export interface Place {
  readonly limit: number;
  /** Keys of the row after which the page begins. */
  readonly after: readonly string[] | undefined;
  readonly descending: boolean;
}

/** Reads a page's parameters, and makes pages of rows. */
export class Paging {
  constructor(private readonly kit: Kit) {}

  /**
   * Checks the parameters of a page.
   *
   * @param keys number of keys in a cursor of this listing
   * @throws WorkflowWorldError with status 400, at which the runtime loads the listing again
   */
  place(given: Pagination | undefined, keys: number, defaults: { limit: number; sortOrder: 'asc' | 'desc' }): Place {
    const { limit = defaults.limit, cursor, sortOrder = defaults.sortOrder } = given ?? {};
    if (!Number.isInteger(limit) || limit < 1) throw this.invalid('limit must be a positive integer');
    if (sortOrder !== 'asc' && sortOrder !== 'desc') throw this.invalid(`sortOrder must be 'asc' or 'desc'`);
    const after = cursor === undefined || cursor === null ? undefined : this.decode(cursor, keys);
    return { limit: Math.min(limit, MAX_LIMIT), after, descending: sortOrder === 'desc' };
  }

  /**
   * Makes a page of one row more than the page may hold.
   *
   * @param keysOf keys of a row's place
   */
  page<Row, T>(rows: readonly Row[], { limit, after }: Place, keysOf: (row: Row) => readonly string[], toItem: (row: Row) => T): Page<T> {
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    const keys = last === undefined ? after : keysOf(last);
    return { data: shown.map(toItem), cursor: keys === undefined ? null : encode(keys), hasMore: rows.length > limit };
  }

  private decode(cursor: unknown, keys: number): string[] {
    try {
      const decoded: unknown = JSON.parse(Buffer.from(cursor as string, 'base64url').toString());
      if (Array.isArray(decoded) && decoded.length === keys && decoded.every((key) => typeof key === 'string')) return decoded;
    } catch {
      // Not a cursor of this World.
    }
    throw this.invalid('cursor is not a cursor of this listing');
  }

  private invalid(text: string): Error {
    return new this.kit.errors.WorkflowWorldError(text, { status: 400 });
  }
}

function encode(keys: readonly string[]): string {
  return Buffer.from(JSON.stringify(keys)).toString('base64url');
}
