import { statementHeads, type StatementHead, type Token } from './statement-scanner.js';

/** Effect of a statement on the transaction in which it is executed. */
export type TransactionControl =
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string }
  /**
   * Ends the transaction for this connection. With `chain`, the next transaction begins at once.
   * After `prepare`, another session may decide whether the transaction commits.
   */
  | { readonly kind: 'commit' | 'rollback' | 'prepare'; readonly chain: boolean }
  | { readonly kind: 'begin' };

/**
 * Matches every text that may control a transaction, and few others. A text that does not match
 * needs no scan.
 */
const SUSPECT = /\b(?:COMMIT|END|ROLLBACK|ABORT|RELEASE|SAVEPOINT|PREPARE|BEGIN|START)\b/i;

/**
 * Patterns of statements whose tokens `shapeOf` has converted: words in upper case, `"` for a
 * quoted name, `'` for a literal, and `?` for any other sign.
 */
const END = /^(COMMIT|END|ROLLBACK|ABORT)(?: (?:WORK|TRANSACTION))?(?: AND (NO )?CHAIN)?$/;
const SAVEPOINT = /^(SAVEPOINT|RELEASE(?: SAVEPOINT)?|ROLLBACK(?: (?:WORK|TRANSACTION))? TO(?: SAVEPOINT)?) [^ '?]+$/;

/**
 * Finds the statements in a text that begin or end a transaction, or that use a savepoint, in
 * order. The text may come from TypeORM or from the application, so its spelling may vary.
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
 * Returns the name of a savepoint as the server reads it. Changes only ASCII letters to lower case,
 * as the server does in multi-byte encodings.
 */
function nameOf(token: Token): string {
  if (token.kind === 'word') return token.text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  return token.kind === 'name' ? token.text : '';
}
