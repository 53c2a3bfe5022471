/**
 * Tells one server from another behind the same address, and one life of a server from the next: when it was started. After a fail-over or a restart
 * what had been acknowledged may be missing (asynchronous replication, `synchronous_commit = off`), so nothing that this process remembers can
 * be relied on before it has been compared with what is there. A constant of the server's process: asking costs nothing, and is allowed to everybody.
 * In whole microseconds: before PostgreSQL 14 it is a float, whose digits depend on a setting of the connection.
 */
export const SERVER = '(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text';
