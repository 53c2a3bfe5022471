/**
 * SQL comment at the beginning of each statement with which the module writes in a transaction of
 * the application.
 */
export const CALLER_MARK = '/* nestjs-durable */';
