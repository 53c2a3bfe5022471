import type { ShownStatus } from '../core/run.js';
import type { Segment, Style } from './printer.js';

const STYLES: Readonly<Partial<Record<ShownStatus, Style>>> = {
  running: 'cyan',
  completed: 'green',
  failed: 'red',
  cancelled: 'dim',
  continued: 'dim',
  paused: 'yellow',
};

/** Returns the status of a run in its colour. */
export function statusSegment(status: ShownStatus, isBlocked = false): Segment {
  if (isBlocked) return [`${status}, blocked`, 'yellow'];
  const style = STYLES[status];
  return style === undefined ? status : [status, style];
}
