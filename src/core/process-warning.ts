import type { WarningCode } from './warning-codes.js';

/** Emits a warning of the Node process, from code that has no logger. */
export function emitProcessWarning(code: WarningCode, message: string): void {
  process.emitWarning(message, { type: 'DurableWarning', code });
}
