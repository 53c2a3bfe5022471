import { toPlainJson } from '../../client/streams/plain-json.js';
import { UnreadablePayload } from '../../core/readable-payloads.js';

/** A payload as text. The text is JSON, unless it is cut. */
export type ShownPayload =
  | { readonly state: 'absent' }
  | { readonly state: 'unreadable'; readonly reason: string }
  | { readonly state: 'value'; readonly text: string; readonly length: number; readonly isCut: boolean };

/** An error with its causes. */
export interface ShownError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly stepKey?: string;
  readonly stack?: string;
  readonly cause?: ShownError;
}

/** Longest text of a payload in a list. */
export const PREVIEW_LENGTH = 2_000;
/** Longest text of a payload that was asked for alone. */
export const FULL_LENGTH = 1_000_000;

const MAX_MESSAGE = 10_000;
const MAX_STACK = 20_000;
const MAX_CAUSES = 10;

/** Shows a payload as text, cut at `maxLength` characters. */
export function shownPayload(value: unknown, maxLength: number): ShownPayload {
  if (value === undefined) return { state: 'absent' };
  if (value instanceof UnreadablePayload) return { state: 'unreadable', reason: value.unreadable };
  try {
    const text = toPlainJson(value);
    return { state: 'value', text: text.slice(0, maxLength), length: text.length, isCut: text.length > maxLength };
  } catch {
    // JSON.stringify overflows the stack at about a thousand levels.
    return { state: 'unreadable', reason: 'the value is nested too deeply to be shown' };
  }
}

/** Shows an error with its causes, each with its stack. */
export function shownError(error: Error | undefined, depth = 0): ShownError | undefined {
  if (error === undefined) return undefined;
  const { name, message, stack, cause, code, stepKey } = error as Error & { code?: unknown; stepKey?: unknown };
  return {
    name: String(name),
    message: String(message).slice(0, MAX_MESSAGE),
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof stepKey === 'string' ? { stepKey } : {}),
    ...(typeof stack === 'string' ? { stack: stack.slice(0, MAX_STACK) } : {}),
    ...(cause instanceof Error && depth < MAX_CAUSES ? { cause: shownError(cause, depth + 1)! } : {}),
  };
}
