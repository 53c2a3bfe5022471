import type { ShownEntry, ShownRun, ShownStep } from '../../api/run.js';
import type { Wire } from '../api.js';

/** Appearance of a row: how its bar is drawn. */
export type RowKind = 'step' | 'wait' | 'child' | 'undo' | 'mark';

/** A row of the timeline: one step, wait or child. Times are milliseconds since 1970. */
export interface TimelineRow {
  readonly key: string;
  readonly kind: RowKind;
  /** Kind of the recorded operation, such as `sleep`. */
  readonly operation: string;
  readonly state: 'completed' | 'failed' | 'open';
  readonly from: number;
  /** End; undefined while the row is open. */
  readonly to: number | undefined;
  readonly attempts: number;
  /** Times at which attempts failed. */
  readonly failures: readonly number[];
  readonly childRunId: string | undefined;
  readonly step: Wire<ShownStep> | undefined;
}

const WAITS = new Set(['sleep', 'signal', 'hook', 'retry', 'grace']);
const MARKS = new Set(['cancel', 'patch', 'compensating', 'compensated', 'saga', 'start']);

/** Builds the rows of a timeline, ordered by their beginning. */
export function rowsOf(run: Wire<ShownRun>, steps: readonly Wire<ShownStep>[], entries: readonly Wire<ShownEntry>[]): TimelineRow[] {
  const children = new Map<string, string>();
  const failures = new Map<string, number[]>();
  const opened = new Map<string, number>();
  for (const { kind, stepKey, name, at } of entries) {
    if (stepKey === undefined) continue;
    if (kind === 'child_started' && name !== undefined) children.set(stepKey, name);
    if (kind === 'attempt_failed') failures.set(stepKey, [...(failures.get(stepKey) ?? []), Date.parse(at)]);
    if (kind === 'wait_open') opened.set(stepKey, Date.parse(at));
  }
  const done = new Set(steps.map(({ stepKey }) => stepKey));
  const recorded = steps.map((step): TimelineRow => {
    const { stepKey: key, kind, status, attempts } = step;
    const [from, to] = [Date.parse(step.startedAt), Date.parse(step.finishedAt)];
    // The attempts of an earlier generation are not those of this result.
    const own = (failures.get(key) ?? []).filter((at) => at >= from && at <= to);
    return {
      key,
      kind: kindOf(kind),
      operation: kind,
      state: status,
      from,
      to,
      attempts,
      failures: own,
      childRunId: children.get(key),
      step,
    };
  });
  const bodies = run.underWay.map(({ stepKey: key, attempt, since }): TimelineRow => {
    const begun = Math.min(Date.parse(since), ...(failures.get(key) ?? []));
    return open({ key, kind: 'step', operation: 'step', from: begun, attempts: attempt, failures: failures.get(key) ?? [] });
  });
  const running = new Set(bodies.map(({ key }) => key));
  const waits = run.waits
    .filter(({ stepKey }) => !running.has(stepKey) && !done.has(stepKey))
    .map(({ stepKey: key, kind, name, attempts }): TimelineRow => {
      const failed = failures.get(key) ?? [];
      const from = Math.min(opened.get(key) ?? Date.parse(run.startedAt ?? run.createdAt), ...failed);
      const childRunId = kind === 'child' ? name : undefined;
      return open({ key, kind: kindOf(kind), operation: kind, from, attempts, failures: failed, childRunId });
    });
  return [...recorded, ...bodies, ...waits].sort((a, b) => a.from - b.from || (a.step?.seq ?? Infinity) - (b.step?.seq ?? Infinity));
}

function open(row: Omit<TimelineRow, 'state' | 'to' | 'step' | 'childRunId'> & { readonly childRunId?: string | undefined }): TimelineRow {
  return { childRunId: undefined, ...row, state: 'open', to: undefined, step: undefined };
}

function kindOf(operation: string): RowKind {
  if (operation === 'compensation') return 'undo';
  if (operation === 'child') return 'child';
  if (WAITS.has(operation)) return 'wait';
  return MARKS.has(operation) ? 'mark' : 'step';
}
