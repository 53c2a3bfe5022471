import { migrationSql } from '../../src/index.js';

/** Quoted names of the database and the role that a setting applies to. */
export interface Names {
  readonly database: string;
  readonly role: string;
}

/**
 * A setting of a role, a database or an administrator under which the module must work, or which it
 * must refuse at boot.
 */
export interface Setting {
  readonly name: string;
  /** The first major version that has it. */
  readonly from?: number;
  /**
   * The encoding and the collation of the database. (default: UTF8, with the collation C of the C
   * library)
   */
  readonly create?: string;
  /** The collation is one of ICU. */
  readonly provider?: 'icu';
  /** Statements of a superuser in the database, before the application boots. */
  readonly before?: (names: Names) => readonly string[];
  /** A question after the exercise, and its only right answer. */
  readonly question?: readonly [sql: string, answer: unknown];
  /** Error with which the application must refuse to boot. */
  readonly refused?: RegExp;
  readonly autoMigrate?: false;
  /** Part of the short form. */
  readonly quick?: true;
}

const byRole = (name: string, value: string, more: Partial<Setting> = {}): Setting => ({
  name: `${name} = ${value}`,
  before: ({ role }) => [`ALTER ROLE ${role} SET ${name} = ${value}`],
  ...more,
});

const byDatabase = (name: string, value: string, more: Partial<Setting> = {}): Setting => ({
  name: `${name} = ${value}`,
  before: ({ database }) => [`ALTER DATABASE ${database} SET ${name} = ${value}`],
  ...more,
});

const TABLES = `SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'durable' AND c.relkind = 'r'`;

/** Creates the schema as an administrator does, and grants a role only its use. */
const madeBefore = ({ role }: Names): string[] => [
  migrationSql(),
  `GRANT USAGE ON SCHEMA durable TO ${role}`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA durable TO ${role}`,
];

const forEachTable = (statement: string): string =>
  `DO $do$ DECLARE t regclass; BEGIN FOR t IN ${TABLES} LOOP EXECUTE format($sql$${statement}$sql$, t); END LOOP; END $do$`;

const AUDIT = `CREATE TABLE public.audit (at timestamptz DEFAULT now(), what text);
CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$
BEGIN
  INSERT INTO public.audit (what) VALUES (TG_TABLE_NAME || ' ' || TG_OP || ' ' || to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END)::text);
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $f$`;

export const settings: readonly Setting[] = [
  byRole('default_transaction_isolation', `'serializable'`, { quick: true }),
  byDatabase('default_transaction_isolation', `'repeatable read'`, { quick: true }),
  byRole('default_transaction_deferrable', 'on'),
  byRole('default_transaction_read_only', 'on', { refused: /read-only/, quick: true }),
  byRole('statement_timeout', `'500ms'`, { quick: true }),
  byRole('lock_timeout', `'1ms'`),
  byDatabase('idle_in_transaction_session_timeout', `'500ms'`),
  byRole('idle_session_timeout', `'1s'`, { from: 14, quick: true }),
  byRole('transaction_timeout', `'1s'`, { from: 17 }),
  byRole('search_path', `''`, { quick: true }),
  byDatabase('search_path', `'"odd schema", pg_temp'`),
  byDatabase('TimeZone', `'Asia/Kathmandu'`),
  byRole('DateStyle', `'German, DMY'`, { quick: true }),
  byRole('DateStyle', `'SQL, DMY'`),
  byRole('IntervalStyle', `'sql_standard'`),
  byRole('bytea_output', `'escape'`),
  byRole('extra_float_digits', '0'),
  byRole('extra_float_digits', `'-15'`),
  byRole('standard_conforming_strings', 'off'),
  byRole('quote_all_identifiers', 'on'),
  byRole('client_encoding', `'LATIN1'`),
  byRole('synchronous_commit', 'off'),
  byRole('plan_cache_mode', `'force_generic_plan'`),
  byRole('jit_above_cost', '0'),
  byRole('enable_indexscan', 'off'),
  byRole('work_mem', `'64kB'`),
  byRole('row_security', 'off'),
  {
    name: 'row security on every table, with policies',
    before: (names) => [
      ...madeBefore(names),
      forEachTable('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY'),
      forEachTable('CREATE POLICY everything ON %1$s USING (true) WITH CHECK (true)'),
    ],
    autoMigrate: false,
    quick: true,
  },
  {
    name: 'audit triggers on every table',
    before: (names) => [
      ...madeBefore(names),
      AUDIT,
      forEachTable('CREATE TRIGGER audit BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION public.audit()'),
    ],
    question: ['SELECT count(*) > 100 AS answer FROM public.audit', true],
    autoMigrate: false,
  },
  {
    name: 'publication FOR ALL TABLES (each has a primary key)',
    before: () => ['CREATE PUBLICATION everything FOR ALL TABLES'],
    question: [
      `SELECT array_agg(t::text) AS answer FROM (${TABLES}) AS tables(t) WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t AND i.indisprimary)`,
      null,
    ],
    quick: true,
  },
  {
    name: 'role without CREATE, autoMigrate: false',
    before: (names) => [
      `REVOKE CREATE ON DATABASE ${names.database} FROM PUBLIC`,
      `ALTER DATABASE ${names.database} OWNER TO CURRENT_USER`,
      ...madeBefore(names),
    ],
    autoMigrate: false,
    quick: true,
  },
  {
    name: 'schema of another owner, who lets the role create tables',
    before: ({ role, database }) => [
      `ALTER DATABASE ${database} OWNER TO CURRENT_USER`,
      'CREATE SCHEMA durable',
      `GRANT USAGE, CREATE ON SCHEMA durable TO ${role}`,
    ],
  },
  {
    name: 'connection limit of 12 for the role (2 of the application, 10 of the module)',
    before: ({ role }) => [`ALTER ROLE ${role} CONNECTION LIMIT 12`],
  },
  {
    name: 'connection limit of 1 for the role',
    before: ({ role }) => [`ALTER ROLE ${role} CONNECTION LIMIT 1`],
    refused: /too many connections/,
  },
  { name: 'collation C.UTF-8', create: `ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'` },
  { name: 'collation en_US.UTF-8', create: `ENCODING 'UTF8' LC_COLLATE 'en_US.UTF-8' LC_CTYPE 'en_US.UTF-8'` },
  {
    name: 'collation en-US of ICU',
    from: 15,
    provider: 'icu',
    create: `ENCODING 'UTF8' ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'`,
  },
  { name: 'encoding SQL_ASCII', create: `ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'`, quick: true },
  {
    name: 'encoding LATIN1',
    create: `ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`,
    refused: /needs a database whose encoding is UTF8; \S+ has LATIN1/,
    quick: true,
  },
];
