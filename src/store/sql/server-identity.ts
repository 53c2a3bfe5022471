/**
 * Identity of the server's process: the time when it was started. It distinguishes servers behind
 * the same address, and a server before and after a restart. After a failover or a restart
 * acknowledged data may be missing (asynchronous replication, `synchronous_commit = off`). So this
 * process must compare its state with the database before it relies on it. Reading the value is
 * free, and every role may do it. It is in whole microseconds: before PostgreSQL 14 it is a float,
 * whose digits depend on a setting of the connection.
 */
export const SERVER = '(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text';
