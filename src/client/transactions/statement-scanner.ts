/** First tokens of a statement. They are enough to recognise its kind. */
export interface StatementHead {
  readonly tokens: readonly Token[];
  /** True when the statement has more tokens than these. */
  readonly isCut: boolean;
}

/** A token of a statement. */
export type Token =
  | { readonly kind: 'word'; readonly text: string }
  /** A quoted identifier, without its quotes. */
  | { readonly kind: 'name'; readonly text: string }
  | { readonly kind: 'literal' | 'other' };

/**
 * Maximum number of tokens that are kept of a statement. Enough for `ROLLBACK TRANSACTION TO
 * SAVEPOINT a`, `CREATE OR REPLACE FUNCTION` and `COMMIT WORK AND NO CHAIN`.
 */
const MAX_HEAD_TOKENS = 6;

/**
 * Matches everything that may begin a literal, a quoted name, a comment or a word, and everything
 * that separates statements. A word includes its dollar signs: `$b$` in `a$b$` begins no
 * dollar-quoted literal. After `U&`, a backslash does not escape the closing quote, unlike after
 * `E`.
 */
const TOKEN = /[uU]&(?=['"])|[a-zA-Z_\u0080-\uffff][\w$\u0080-\uffff]*|--|\/\*|\$(?:[a-zA-Z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|\S/g;
const COMMENT_EDGE = /\/\*|\*\//g;
const LINE_END = /[\n\r]/g;
const NOT_SPACE = /[^ \t\n\r\f\v]/g;
const ESCAPED_TEXT = /['\\]/g;

const find = (pattern: RegExp, text: string, from: number): RegExpExecArray | null => {
  pattern.lastIndex = from;
  return pattern.exec(text);
};

/**
 * Splits a text into statements as the server does, and returns the first tokens of each. Assumes
 * PostgreSQL's default, `standard_conforming_strings = on`. Reads only the first tokens after the
 * last semicolon. Reads each character at most twice.
 */
export function statementHeads(text: string): StatementHead[] {
  return new Scanner(text).scan();
}

class Scanner {
  private readonly heads: StatementHead[] = [];
  private tokens: Token[] = [];
  private count = 0;
  /**
   * Depth of parentheses. A semicolon inside parentheses ends no statement, as in `CREATE RULE ...
   * DO (...; ...)`.
   */
  private parentheses = 0;
  /**
   * Depth of blocks. A semicolon inside a block ends no statement, as in `CREATE FUNCTION ... BEGIN
   * ATOMIC ...; END`.
   */
  private blocks = 0;
  private position = 0;

  constructor(private readonly text: string) {}

  scan(): StatementHead[] {
    const lastSemicolon = this.text.lastIndexOf(';');
    while (this.position <= lastSemicolon || this.count < MAX_HEAD_TOKENS) {
      const match = find(TOKEN, this.text, this.position);
      if (!match) break;
      this.position = match.index + match[0].length;
      this.take(match[0]);
    }
    this.endStatement();
    return this.heads;
  }

  private take(token: string): void {
    const first = token.charAt(0);
    if (token === '--') this.position = find(LINE_END, this.text, this.position)?.index ?? this.text.length;
    else if (token === '/*') this.skipComment();
    else if (token === "'") this.literal(() => this.skipTo("'", "'"));
    else if (token === '"') this.quotedName();
    else if (first === '$' && token.length > 1) this.literal(() => this.skipTo(token));
    else if (/[eE]/.test(first) && token.length === 1 && this.text.charAt(this.position) === "'")
      this.literal(() => this.skipEscapedText());
    else if (token === ';' && this.parentheses === 0 && this.blocks === 0) this.endStatement();
    else if (/[\w\u0080-\uffff]/.test(first) && !/\d/.test(first)) this.word(token);
    else this.mark(token);
  }

  private keep(token: Token): void {
    this.count++;
    if (this.tokens.length < MAX_HEAD_TOKENS) this.tokens.push(token);
  }

  private literal(skip: () => void): void {
    this.keep({ kind: 'literal' });
    skip();
  }

  private quotedName(): void {
    const start = this.position;
    this.skipTo('"', '"');
    this.keep({ kind: 'name', text: this.text.slice(start, this.position - 1).replaceAll('""', '"') });
  }

  private word(text: string): void {
    // `TOKEN` also matches `u&`, which is not a word. It introduces the literal or name after it.
    if (text.endsWith('&')) return;
    this.keep({ kind: 'word', text });
    if (this.parentheses > 0 || !this.isRoutine()) return;
    const keyword = text.length > 5 ? '' : text.toUpperCase();
    if (keyword === 'BEGIN' || (keyword === 'CASE' && this.blocks > 0)) this.blocks++;
    else if (keyword === 'END' && this.blocks > 0) this.blocks--;
  }

  private mark(token: string): void {
    this.keep({ kind: 'other' });
    if (token === '(') this.parentheses++;
    else if (token === ')' && this.parentheses > 0) this.parentheses--;
  }

  private isRoutine(): boolean {
    const [create, ...rest] = this.tokens;
    const isWord = (token: Token | undefined, ...texts: string[]): boolean =>
      token?.kind === 'word' && texts.includes(token.text.toUpperCase());
    if (!isWord(create, 'CREATE')) return false;
    return isWord(rest[isWord(rest[0], 'OR') ? 2 : 0], 'FUNCTION', 'PROCEDURE');
  }

  private endStatement(): void {
    if (this.count > 0) this.heads.push({ tokens: this.tokens, isCut: this.count > this.tokens.length });
    this.tokens = [];
    this.count = 0;
    this.parentheses = 0;
    this.blocks = 0;
  }

  /**
   * Skips to the end of a literal. Without a closing quote, skips the rest of the text, which the
   * server will refuse.
   */
  private skipTo(end: string, doubled?: string): void {
    for (;;) {
      const found = this.text.indexOf(end, this.position);
      this.position = found === -1 ? this.text.length : found + end.length;
      if (found === -1 || doubled === undefined || this.text.charAt(this.position) !== doubled) return;
      this.position += 1;
    }
  }

  private skipComment(): void {
    for (let depth = 1; depth > 0;) {
      const edge = find(COMMENT_EDGE, this.text, this.position);
      this.position = edge ? edge.index + 2 : this.text.length;
      if (!edge) return;
      depth += edge[0] === '/*' ? 1 : -1;
    }
  }

  /**
   * Skips a literal with backslash escapes. Begins at the opening quote. When a line break and
   * another quote follow, the literal continues with the same escapes.
   */
  private skipEscapedText(): void {
    this.position += 1;
    for (;;) {
      const found = find(ESCAPED_TEXT, this.text, this.position);
      this.position = found ? found.index + 1 : this.text.length;
      if (!found) return;
      if (found[0] === '\\' || this.text.charAt(this.position) === "'") this.position += 1;
      else if (!this.continues()) return;
    }
  }

  private continues(): boolean {
    let hasLineBreak = false;
    for (let from = this.position; ;) {
      const next = find(NOT_SPACE, this.text, from)?.index ?? this.text.length;
      hasLineBreak ||= /[\n\r]/.test(this.text.slice(from, next));
      if (this.text.startsWith('--', next)) {
        from = find(LINE_END, this.text, next)?.index ?? this.text.length;
        continue;
      }
      if (!hasLineBreak || this.text.charAt(next) !== "'") return false;
      this.position = next + 1;
      return true;
    }
  }
}
