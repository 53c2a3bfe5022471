/**
 * Kind of pooler between this process and the server: one that hands connections on after each
 * transaction. A file of its own, because public options name this type and must not need those of
 * pg.
 */
export type Pooler = 'transaction';
