import { badRequest } from './api-error.js';

/**
 * Functions that a formula in `Upstash-Retry-Delay` may call, each with its minimum and maximum
 * number of arguments.
 */
const FUNCTIONS: Readonly<Record<string, { readonly from: number; readonly to: number; readonly call: (...args: number[]) => number }>> = {
  pow: { from: 2, to: 2, call: Math.pow },
  sqrt: { from: 1, to: 1, call: Math.sqrt },
  abs: { from: 1, to: 1, call: Math.abs },
  exp: { from: 1, to: 1, call: Math.exp },
  floor: { from: 1, to: 1, call: Math.floor },
  ceil: { from: 1, to: 1, call: Math.ceil },
  round: { from: 1, to: 1, call: Math.round },
  min: { from: 1, to: Number.POSITIVE_INFINITY, call: Math.min },
  max: { from: 1, to: Number.POSITIVE_INFINITY, call: Math.max },
};

type Expression = (retried: number) => number;

/**
 * Parses a formula that may contain the variable `retried`, such as `1000 * pow(2, retried)`.
 * Returns the formula as a function.
 *
 * @throws ApiError when the text is not a formula
 */
export function parseExpression(text: string): Expression {
  const parser = new Parser(text);
  const expression = parser.sum();
  parser.end();
  return expression;
}

class Parser {
  private readonly tokens: string[];
  private position = 0;

  constructor(private readonly text: string) {
    this.tokens = text.match(/\d+(?:\.\d+)?|[a-z]+|[^\s]/gi) ?? [];
  }

  sum(): Expression {
    let left = this.product();
    for (let operator = this.take('+', '-'); operator; operator = this.take('+', '-')) {
      const [a, b, sign] = [left, this.product(), operator === '+' ? 1 : -1];
      left = (retried) => a(retried) + sign * b(retried);
    }
    return left;
  }

  end(): void {
    if (this.position < this.tokens.length) throw this.refusal();
  }

  private product(): Expression {
    let left = this.unary();
    for (let operator = this.take('*', '/', '%'); operator; operator = this.take('*', '/', '%')) {
      const [a, b, apply] = [left, this.unary(), OPERATORS[operator]!];
      left = (retried) => apply(a(retried), b(retried));
    }
    return left;
  }

  private unary(): Expression {
    if (!this.take('-')) return this.atom();
    const operand = this.unary();
    return (retried) => -operand(retried);
  }

  private atom(): Expression {
    const token = this.tokens[this.position++];
    if (token === undefined) throw this.refusal();
    if (token === '(') {
      const inner = this.sum();
      this.expect(')');
      return inner;
    }
    if (/^\d/.test(token)) return () => Number(token);
    if (token === 'retried') return (retried) => retried;
    return this.call(token);
  }

  private call(name: string): Expression {
    const definition = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (!definition) throw this.refusal();
    this.expect('(');
    const args = [this.sum()];
    while (this.take(',')) args.push(this.sum());
    this.expect(')');
    if (args.length < definition.from || args.length > definition.to) throw this.refusal();
    return (retried) => definition.call(...args.map((argument) => argument(retried)));
  }

  private take(...candidates: string[]): string | undefined {
    const token = this.tokens[this.position];
    if (token === undefined || !candidates.includes(token)) return undefined;
    this.position += 1;
    return token;
  }

  private expect(token: string): void {
    if (!this.take(token)) throw this.refusal();
  }

  private refusal(): Error {
    return badRequest(`Upstash-Retry-Delay is not an expression over retried: ${this.text}`);
  }
}

const OPERATORS: Readonly<Record<string, (a: number, b: number) => number>> = {
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};
