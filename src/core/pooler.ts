/**
 * Kind of connection pooler between this process and the database. A `transaction` pooler gives a
 * connection to another client after each transaction. The type has a file of its own, because
 * public options use it and must not import the types of pg.
 */
export type Pooler = 'transaction';
