/** Number of warnings that a process remembers. Later warnings may repeat. */
const MAX_REMEMBERED = 1_000;

const warned = new Set<string>();

/** Warns of something once in the life of the process. */
export function warnOnce(what: string, warn: () => void): void {
  if (warned.has(what)) return;
  if (warned.size >= MAX_REMEMBERED) warned.clear();
  warned.add(what);
  warn();
}
