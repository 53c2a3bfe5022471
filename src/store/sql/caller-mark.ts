/** Prefix of each statement that writes in a caller's transaction. */
export const CALLER_MARK = '/* nestjs-durable */';
