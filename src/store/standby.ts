/**
 * Error for a write that was sent to a hot standby. A failover may promote the standby at any
 * moment.
 */
export class StandbyError extends Error {
  readonly code = '25006';

  constructor(cause: Error) {
    super(`the server is a standby, and the module needs the primary (${cause.message})`, { cause });
    this.name = 'StandbyError';
  }
}

/**
 * Determines why the server refused to write. If the server is a standby, it may soon be promoted,
 * so another try may succeed. If the role's transactions are read-only, another try fails again.
 *
 * @param isInRecovery asks the server whether it is a standby
 * @returns a StandbyError, or the given error
 */
export async function explainReadOnly(error: unknown, isInRecovery: () => Promise<boolean>): Promise<unknown> {
  if (!(error instanceof Error) || (error as { code?: unknown }).code !== '25006') return error;
  return (await isInRecovery().catch(() => false)) ? new StandbyError(error) : error;
}
