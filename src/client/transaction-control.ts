/** What a statement does to the transaction that it is sent in. */
export type TransactionControl =
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string }
  /** `prepare` leaves it to another session whether it commits. */
  | { readonly kind: 'commit' | 'rollback' | 'prepare'; readonly chain: boolean }
  | { readonly kind: 'begin' };

/** Nearly every statement is told apart by this alone. */
const SUSPECT = /\b(?:COMMIT|END|ROLLBACK|ABORT|RELEASE|SAVEPOINT|PREPARE|BEGIN|START)\b/i;

/** What may hold a semicolon, or a word of ours, without being one: texts, quoted names, texts in dollars, comments. */
const LITERAL = /\bE'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|--[^\n]*|\/\*.*?\*\//gis;

const END = /^(COMMIT|END|ROLLBACK|ABORT)(?: (?:WORK|TRANSACTION))?(?: AND (NO )?CHAIN)?$/i;
const SAVEPOINT = /^(SAVEPOINT|RELEASE(?: SAVEPOINT)?|ROLLBACK(?: (?:WORK|TRANSACTION))? TO(?: SAVEPOINT)?) ?("(?:[^"]|"")*"|[^\s"]+)$/i;

/** The statements of a text that begin, end or divide a transaction, in order; sent by TypeORM or by hand, however they are written. */
export function transactionControls(text: string): readonly TransactionControl[] {
  if (!SUSPECT.test(text)) return [];
  // Names of savepoints stay, but nothing that could be taken for the end of a statement.
  const plain = text.replace(LITERAL, (literal) => (literal.startsWith('"') ? literal.replaceAll(/[;\s]/g, '_') : ' '));
  return plain
    .split(';')
    .map((statement) => controlOf(statement.replaceAll(/\s+/g, ' ').trim()))
    .filter((control) => control !== undefined);
}

function controlOf(statement: string): TransactionControl | undefined {
  const end = END.exec(statement);
  if (end) {
    const chain = /CHAIN$/i.test(statement) && end[2] === undefined;
    return { kind: /^(?:COMMIT|END)$/i.test(end[1]!) ? 'commit' : 'rollback', chain };
  }
  const savepoint = SAVEPOINT.exec(statement);
  if (savepoint) {
    const [, verb, name] = savepoint;
    const kind = /^SAVEPOINT/i.test(verb!) ? 'savepoint' : /^RELEASE/i.test(verb!) ? 'release' : 'rollbackTo';
    return { kind, name: name!.startsWith('"') ? name!.slice(1, -1) : name!.toLowerCase() };
  }
  if (/^PREPARE TRANSACTION$/i.test(statement)) return { kind: 'prepare', chain: false };
  if (/^(?:BEGIN|START TRANSACTION)\b/i.test(statement)) return { kind: 'begin' };
  return undefined;
}
