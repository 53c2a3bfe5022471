import pg from 'pg';

/** A node of a plan, as `auto_explain` describes it. */
interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly Plans?: readonly PlanNode[];
}

interface Explained {
  readonly 'Query Text': string;
  readonly Plan: PlanNode;
}

/** A statement that was executed, with what it read of tables. */
export interface ExplainedStatement {
  readonly text: string;
  /** Names of the tables that were read without an index. */
  readonly scanned: readonly string[];
  /** Number of rows that were read of tables. */
  readonly rows: number;
}

/** Settings that make the server send the plan of each statement as a warning. */
const SETTINGS = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_timing': 'off',
  'auto_explain.log_format': 'json',
  // The module's connections leave out notices.
  'auto_explain.log_level': 'warning',
};

/** Returns the statements that make each later connection to a database explain its statements. */
export function explainAll(database: string): string[] {
  return Object.entries(SETTINGS).map(([name, value]) => `ALTER DATABASE ${database} SET ${name} = '${value}'`);
}

/** Collects the statements of this process's later connections to a database that explains them. */
export class ExplainedStatements {
  #statements: ExplainedStatement[] = [];

  constructor() {
    const note = (message: string | undefined): void => this.#note(message ?? '');
    const { connect } = pg.Client.prototype;
    // All pools of the module make their connections by this method.
    pg.Client.prototype.connect = function (this: pg.Client, ...args: never[]): never {
      this.on('notice', ({ message }) => note(message));
      return connect.apply(this, args as never) as never;
    };
  }

  #note(message: string): void {
    const at = message.indexOf('plan:\n');
    if (at !== -1) this.#statements.push(explained(JSON.parse(message.slice(at + 6)) as Explained));
  }

  /** Returns the statements since the last call. */
  take(): ExplainedStatement[] {
    const taken = this.#statements;
    this.#statements = [];
    return taken;
  }
}

function explained({ 'Query Text': text, Plan }: Explained): ExplainedStatement {
  // A plan that EXPLAIN has only shown has no loops.
  const scans = nodesOf(Plan).filter((node) => node['Relation Name'] !== undefined && (node['Actual Loops'] ?? 0) > 0);
  return {
    text,
    scanned: scans.filter((node) => node['Node Type'].includes('Seq Scan')).map((node) => node['Relation Name']!),
    rows: scans.reduce((sum, node) => sum + rowsOf(node), 0),
  };
}

function rowsOf(node: PlanNode): number {
  const read = (node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
  return read * (node['Actual Loops'] ?? 1);
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}
