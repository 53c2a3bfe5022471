import { statementHeads, type StatementHead, type Token } from './statement-scanner.js';

/** Effect of a statement on the transaction in which it is sent. */
export type TransactionControl =
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string }
  /** `prepare` leaves the decision to commit to another session. */
  | { readonly kind: 'commit' | 'rollback' | 'prepare'; readonly chain: boolean }
  | { readonly kind: 'begin' };

/**
 * Matches texts that may control a transaction. Nearly every other statement is recognised by this
 * test alone.
 */
const SUSPECT = /\b(?:COMMIT|END|ROLLBACK|ABORT|RELEASE|SAVEPOINT|PREPARE|BEGIN|START)\b/i;

/** Statement shapes. A quoted name appears as `"`, a literal as `'`, any other sign as `?`. */
const END = /^(COMMIT|END|ROLLBACK|ABORT)(?: (?:WORK|TRANSACTION))?(?: AND (NO )?CHAIN)?$/;
const SAVEPOINT = /^(SAVEPOINT|RELEASE(?: SAVEPOINT)?|ROLLBACK(?: (?:WORK|TRANSACTION))? TO(?: SAVEPOINT)?) [^ '?]+$/;

/**
 * Finds the statements of a text that begin, end or divide a transaction, in order. TypeORM or the
 * application may have sent the text, in any spelling.
 */
export function transactionControls(text: string): readonly TransactionControl[] {
  if (!SUSPECT.test(text)) return [];
  return statementHeads(text)
    .map(controlOf)
    .filter((control) => control !== undefined);
}

function controlOf({ tokens, isCut }: StatementHead): TransactionControl | undefined {
  const shape = tokens.map(shapeOf).join(' ');
  if (/^(?:BEGIN|START TRANSACTION)\b/.test(shape)) return { kind: 'begin' };
  if (isCut) return undefined;
  const end = END.exec(shape);
  if (end) {
    const chain = shape.endsWith('CHAIN') && end[2] === undefined;
    return { kind: /^(?:COMMIT|END)$/.test(end[1]!) ? 'commit' : 'rollback', chain };
  }
  const savepoint = SAVEPOINT.exec(shape);
  if (savepoint) {
    const verb = savepoint[1]!;
    const kind = verb === 'SAVEPOINT' ? 'savepoint' : verb.startsWith('RELEASE') ? 'release' : 'rollbackTo';
    return { kind, name: nameOf(tokens.at(-1)!) };
  }
  if (shape === "PREPARE TRANSACTION '") return { kind: 'prepare', chain: false };
  return undefined;
}

function shapeOf(token: Token): string {
  if (token.kind === 'word') return token.text.toUpperCase();
  return { name: '"', literal: "'", other: '?' }[token.kind];
}

/**
 * Returns the name of a savepoint as the server reads it. In multi-byte encodings the server folds
 * only ASCII letters to lower case.
 */
function nameOf(token: Token): string {
  if (token.kind === 'word') return token.text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  return token.kind === 'name' ? token.text : '';
}
