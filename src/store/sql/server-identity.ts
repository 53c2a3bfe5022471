/**
 * SQL for the identity of the database server: the time when its process was started. The identity
 * changes with a restart and with a failover to another server. After either, acknowledged data may
 * be missing (`synchronous_commit = off`, asynchronous replication). A process that sees a new
 * identity must therefore compare its state with the database.
 *
 * Reading the time is free, and every role may do it. The value is cast to whole microseconds:
 * before PostgreSQL 14, `extract` returns a float, whose digits depend on a setting of the
 * connection.
 */
export const SERVER = '(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text';
