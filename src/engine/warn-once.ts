/**
 * Largest number of warnings that a process remembers. After more warnings, an earlier one may be
 * repeated.
 */
const MAX_REMEMBERED = 1_000;

const warned = new Set<string>();

/** Calls `warn` unless this process has already warned of `what`. */
export function warnOnce(what: string, warn: () => void): void {
  if (warned.has(what)) return;
  if (warned.size >= MAX_REMEMBERED) warned.clear();
  warned.add(what);
  warn();
}
