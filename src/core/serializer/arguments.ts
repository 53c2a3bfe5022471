import { ArgumentEncoder } from './argument-encoder.js';
import { hashOf, hashOfAll } from './hash.js';
import { decode, encode } from './index.js';
import { isPlainNumber, UNDEFINED, type Json } from './json.js';
import { escapeText } from './text.js';

/** An argument that was changed after the call was made. */
export interface ChangedArgument {
  readonly index: number;
  /** Form in which the callee got the argument. */
  readonly was: 'a copy' | 'the original';
}

/**
 * Hashes and copies of a call's arguments. Made only if at least one argument is not a plain
 * primitive.
 */
interface Kept {
  /** Hash of each argument; null for an argument that cannot be encoded. */
  readonly hashes: readonly (number | null)[];
  readonly copied: readonly boolean[];
  /** Returns new copies of the arguments for which `copied` is true, each at its index. */
  readonly copies: (() => readonly unknown[]) | undefined;
}

/**
 * Arguments of one call, as they were when the call was made. The fingerprint detects a replay that
 * makes the same call with other arguments. The callee gets copies. So the caller does not see the
 * callee's changes to an argument, and the callee does not see the caller's changes.
 *
 * An argument is copied when the copy is indistinguishable from the original. That holds for plain
 * objects and arrays, Date, Map, Set, typed arrays, and instances of registered classes. Instances
 * of other classes, functions and proxies are passed on as they are.
 */
export class Arguments {
  private static readonly NONE = new Arguments([], 0, 0);

  private constructor(
    private readonly given: readonly unknown[],
    /**
     * 32-bit hash of all arguments; null when the arguments cannot be encoded or are larger than a
     * payload may be.
     */
    readonly fingerprint: number | null,
    private readonly maxBytes: number,
    private readonly kept?: Kept,
  ) {}

  /**
   * Records the arguments of a call.
   *
   * @param maxBytes largest size of a payload, in bytes
   */
  static of(given: readonly unknown[], maxBytes: number): Arguments {
    if (given.length === 0) return Arguments.NONE;
    if (given.every(isPlain)) return new Arguments(given, hashOfAll(given.map(hashOfPlain)), maxBytes);
    try {
      const kept = keep(given, maxBytes);
      return new Arguments(given, hashOfAll(kept.hashes), maxBytes, kept);
    } catch {
      return new Arguments(given, null, maxBytes, keepEach(given, maxBytes));
    }
  }

  /**
   * True when an object is passed on without a copy and has a hash, by which a later change can be
   * detected.
   */
  get hasOriginals(): boolean {
    const { kept } = this;
    return kept?.hashes.some((hash, index) => hash !== null && !kept.copied[index] && isObject(this.given[index])) === true;
  }

  get hasCopies(): boolean {
    return this.kept?.copies !== undefined;
  }

  /**
   * Returns the arguments to pass to the callee. Each call returns new copies of the arguments that
   * can be copied.
   */
  fresh(): readonly unknown[] {
    if (!this.kept?.copies) return this.given;
    const { copies, copied } = this.kept;
    const made = copies();
    return this.given.map((value, index) => (copied[index] ? made[index] : value));
  }

  /**
   * Returns the first argument that has changed since the call was made.
   *
   * @param used a result of `fresh`
   */
  changed(used: readonly unknown[]): ChangedArgument | undefined {
    if (!this.kept) return undefined;
    const { hashes, copied } = this.kept;
    const now = this.hashesOf(used);
    for (const [index, hash] of hashes.entries()) {
      if (hash !== null && hash !== now[index] && isObject(used[index])) return { index, was: copied[index] ? 'a copy' : 'the original' };
    }
    return undefined;
  }

  /**
   * Returns the current hash of each argument; null for an argument that can no longer be encoded.
   */
  private hashesOf(used: readonly unknown[]): readonly (number | null)[] {
    if (this.fingerprint === null) return keepEach(used, this.maxBytes).hashes;
    try {
      return keep(used, this.maxBytes).hashes;
    } catch {
      return keepEach(used, this.maxBytes).hashes;
    }
  }
}

/**
 * Encodes all arguments together. An object that two arguments share is then also shared by their
 * copies.
 */
function keep(given: readonly unknown[], maxBytes: number): Kept & { readonly hashes: readonly number[] } {
  const { tree, exact, hasTypes } = new ArgumentEncoder(maxBytes).arguments(given);
  const copied = given.map((value, index) => isObject(value) && exact[index]!);
  const hashes = tree.map(hashOf);
  if (!copied.includes(true)) return { hashes, copied, copies: undefined };
  const chosen = (list: readonly unknown[]): unknown[] => list.map((value, index) => (copied[index] ? value : null));
  const text = hasTypes ? encode(chosen(given), 'arguments', maxBytes) : escapeText(JSON.stringify(chosen(tree)));
  return { hashes, copied, copies: () => decode(text) as unknown[] };
}

/**
 * Encodes each argument on its own. Used when an argument cannot be encoded, because `keep` would
 * fail for all arguments.
 */
function keepEach(given: readonly unknown[], maxBytes: number): Kept {
  const each = given.map((value) => {
    try {
      return isObject(value) ? keep([value], maxBytes) : undefined;
    } catch {
      return undefined;
    }
  });
  const copied = each.map((kept) => kept?.copies !== undefined);
  const copies = copied.includes(true) ? () => each.map((kept) => kept?.copies?.()[0]) : undefined;
  return { hashes: each.map((kept) => kept?.hashes[0] ?? null), copied, copies };
}

/** True for a primitive whose JSON is the value itself, and for undefined. */
function isPlain(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return true;
    case 'number':
      return isPlainNumber(value);
    default:
      return value === null;
  }
}

function hashOfPlain(value: unknown): number {
  return hashOf(value === undefined ? UNDEFINED : (value as Json));
}

/** True for an object. Functions are not included, because they cannot be encoded. */
function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
