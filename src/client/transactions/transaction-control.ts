import { statementHeads, type StatementHead, type Token } from './statement-scanner.js';

/** What a statement does to the transaction that it is sent in. */
export type TransactionControl =
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string }
  /** `prepare` leaves it to another session whether it commits. */
  | { readonly kind: 'commit' | 'rollback' | 'prepare'; readonly chain: boolean }
  | { readonly kind: 'begin' };

/** Nearly every statement is told apart by this alone. */
const SUSPECT = /\b(?:COMMIT|END|ROLLBACK|ABORT|RELEASE|SAVEPOINT|PREPARE|BEGIN|START)\b/i;

/** A quoted name shows as `"`, a literal as `'`, any other sign as `?`. */
const END = /^(COMMIT|END|ROLLBACK|ABORT)(?: (?:WORK|TRANSACTION))?(?: AND (NO )?CHAIN)?$/;
const SAVEPOINT = /^(SAVEPOINT|RELEASE(?: SAVEPOINT)?|ROLLBACK(?: (?:WORK|TRANSACTION))? TO(?: SAVEPOINT)?) [^ '?]+$/;

/** The statements of a text that begin, end or divide a transaction, in order; sent by TypeORM or by hand, however they are written. */
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

/** The server folds only the letters of ASCII where a character may have several bytes. */
function nameOf(token: Token): string {
  if (token.kind === 'word') return token.text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  return token.kind === 'name' ? token.text : '';
}
