/** The most warnings that a process remembers; later ones repeat. */
const MAX_REMEMBERED = 1_000;

const warnedOf = new Set<string>();

/** Warns of something once in the life of the process. */
export function warnOnce(what: string, warn: () => void): void {
  if (warnedOf.has(what)) return;
  if (warnedOf.size >= MAX_REMEMBERED) warnedOf.clear();
  warnedOf.add(what);
  warn();
}
