/** What stands between this process and the server: a pooler that hands connections on after each transaction. */
export type Pooler = 'transaction';
