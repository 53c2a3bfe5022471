import { ArgumentEncoder } from './argument-encoder.js';
import { hashOf, hashOfAll } from './hash.js';
import { decode, encode } from './index.js';
import { UNDEFINED } from './json.js';
import type { Json } from './json.js';
import { escapeText } from './text.js';

/** An argument that is no longer what it was when its call was made. */
export interface ChangedArgument {
  readonly index: number;
  readonly was: 'a copy' | 'the original';
}

/** What is kept of a call's arguments where one of them is an object. */
interface Kept {
  /** Null for an argument that cannot be written down. */
  readonly hashes: readonly (number | null)[];
  readonly copied: readonly boolean[];
  /** Makes copies of those that are copied, each in its place. */
  readonly copies: (() => readonly unknown[]) | undefined;
}

/**
 * The arguments of one call, as they were when it was made: a fingerprint to compare them with those of another pass, and copies of what
 * can be copied, so that the callee and the caller do not share objects that one of them changes.
 *
 * An argument is copied where nothing tells the copy from the original: plain objects and arrays, Date, Map, Set, typed arrays, instances of
 * registered classes. Others are handed on as they are: instances of other classes, functions, proxies.
 */
export class Arguments {
  private static readonly NONE = new Arguments([], 0, 0);

  private constructor(
    private readonly given: readonly unknown[],
    /** 32 bits; null when the arguments cannot be written down, or are larger than a payload may be. */
    readonly fingerprint: number | null,
    private readonly maxBytes: number,
    private readonly kept?: Kept,
  ) {}

  /** @param maxBytes what a payload may have */
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

  /** Whether an argument is handed on as it is, and can be looked at again. */
  get hasOriginals(): boolean {
    const { kept } = this;
    return kept?.hashes.some((hash, index) => hash !== null && !kept.copied[index] && isObject(this.given[index])) === true;
  }

  get hasCopies(): boolean {
    return this.kept?.copies !== undefined;
  }

  /** The arguments for one use, with new copies of those that are copied. */
  fresh(): readonly unknown[] {
    if (!this.kept?.copies) return this.given;
    const { copies, copied } = this.kept;
    const made = copies();
    return this.given.map((value, index) => (copied[index] ? made[index] : value));
  }

  /** The first argument of those that `fresh` gave that is no longer what it was when the call was made. */
  changed(used: readonly unknown[]): ChangedArgument | undefined {
    if (!this.kept) return undefined;
    const { hashes, copied } = this.kept;
    const now = this.hashesOf(used);
    for (const [index, hash] of hashes.entries()) {
      if (hash !== null && hash !== now[index] && isObject(used[index])) return { index, was: copied[index] ? 'a copy' : 'the original' };
    }
    return undefined;
  }

  /** An argument that cannot be written down any more has none. */
  private hashesOf(used: readonly unknown[]): readonly (number | null)[] {
    if (this.fingerprint === null) return keepEach(used, this.maxBytes).hashes;
    try {
      return keep(used, this.maxBytes).hashes;
    } catch {
      return keepEach(used, this.maxBytes).hashes;
    }
  }
}

/** Encodes all arguments together, so that an object which two of them share stays one. */
function keep(given: readonly unknown[], maxBytes: number): Kept & { readonly hashes: readonly number[] } {
  const { tree, exact, hasTypes } = new ArgumentEncoder(maxBytes).arguments(given);
  const copied = given.map((value, index) => isObject(value) && exact[index]!);
  const hashes = tree.map(hashOf);
  if (!copied.includes(true)) return { hashes, copied, copies: undefined };
  const chosen = (list: readonly unknown[]): unknown[] => list.map((value, index) => (copied[index] ? value : null));
  const text = hasTypes ? encode(chosen(given), 'arguments', maxBytes) : escapeText(JSON.stringify(chosen(tree)));
  return { hashes, copied, copies: () => decode(text) as unknown[] };
}

/** Does what can be done with arguments of which one cannot be written down. */
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

/** Whether the value is its own JSON. */
function isPlain(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    default:
      return value === null;
  }
}

function hashOfPlain(value: unknown): number {
  return hashOf(value === undefined ? UNDEFINED : (value as Json));
}

/** Functions cannot be written down, so they never come here. */
function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
