/**
 * Lines that a process may print. The SDK of QStash prints refusals before it throws. A failed run
 * is an error in the log. Nest logs the error of a boot that a fault has cut off.
 */
const EXPECTED = [
  /^WARN |^BOOT |^\[Upstash QStash\] /,
  /^ERROR run "[^"]*" \([^)]*\) failed with /,
  /^ERROR Unable to connect to the database/,
  /^ERROR (?:QueryFailed)?Error: (?:Connection terminated|terminating connection|timeout exceeded when trying to connect|connect E|read E).* ExceptionHandler$/,
];

/** Log of the processes of a fleet. */
export class FleetLog {
  /** Observed violations. */
  readonly problems: string[] = [];
  /** Count of each warning, without its numbers. */
  readonly notes = new Map<string, number>();
  boots = 0;

  /** A line that a process has printed. */
  note(who: string, line: string): void {
    if (EXPECTED.some((expected) => expected.test(line))) {
      const kind = line
        .replaceAll(/"[^"]*"/g, '"…"')
        .replaceAll(/\d+/g, 'N')
        .slice(0, 140);
      this.notes.set(kind, (this.notes.get(kind) ?? 0) + 1);
    } else if (line.trim() !== '') {
      this.problems.push(`${who} printed: ${line}`);
    }
  }
}
