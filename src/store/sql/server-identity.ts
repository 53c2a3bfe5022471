/**
 * Tells one server from another behind the same address, and one life of a server from the next: when it was started. After a fail-over or a restart
 * what had been acknowledged may be missing (asynchronous replication, `synchronous_commit = off`), so nothing that this process remembers can
 * be relied on before it has been compared with what is there. A constant of the server's process: asking costs nothing, and is allowed to everybody.
 */
export const SERVER = 'extract(epoch FROM pg_postmaster_start_time())::text';
