import type { Json } from './json.js';

/**
 * Limits in characters. They keep the stored error of a failed step or run readable, and small
 * compared with the default limit of a payload.
 */
const MAX_MESSAGE_LENGTH = 64 * 1024;
const MAX_STACK_LENGTH = 16 * 1024;
const MAX_PROPERTY_LENGTH = 16 * 1024;
const MAX_TOTAL_LENGTH = 256 * 1024;
/** Largest depth of errors in an error: causes, members of an AggregateError, and properties. */
const MAX_DEPTH = 8;
/** Largest number of stored members of an AggregateError. */
const MAX_ERRORS = 50;

/**
 * Limits the stored size of one thrown error and its causes. Parts that do not fit are left out.
 * Otherwise, an error that holds a response of 100 MB could not be written to the database.
 */
export class ErrorBudget {
  private left = MAX_TOTAL_LENGTH;
  private depth = 0;

  /** True when the depth and the size that are left allow one more error. */
  get open(): boolean {
    return this.depth < MAX_DEPTH && this.left > 0;
  }

  enter(): void {
    this.depth++;
  }

  leave(): void {
    this.depth--;
  }

  message(text: string): string {
    return this.spend(cut(text, Math.min(MAX_MESSAGE_LENGTH, Math.max(this.left, 0))));
  }

  /**
   * Shortens a stack. The frames matter most, so a long message at the start of the stack is cut
   * first.
   */
  stack(text: string, message: string): string {
    let stack = text;
    const start = stack.length > MAX_STACK_LENGTH && message.length > 1024 ? stack.indexOf(message) : -1;
    if (start >= 0) stack = stack.slice(0, start) + cut(message, 1024) + stack.slice(start + message.length);
    return this.spend(cut(stack, Math.min(MAX_STACK_LENGTH, Math.max(this.left, 0))));
  }

  errors(list: readonly unknown[]): readonly unknown[] {
    return list.slice(0, MAX_ERRORS);
  }

  /** Largest number of characters for the next own property of an error. */
  get roomForProperty(): number {
    return Math.max(0, Math.min(MAX_PROPERTY_LENGTH, this.left));
  }

  /**
   * Counts the size of an error's own property, and returns true when the property fits. Errors
   * inside the property are counted twice, which only makes the limit stricter.
   */
  keeps(property: Json): boolean {
    const size = JSON.stringify(property).length;
    if (size > MAX_PROPERTY_LENGTH || size > this.left) return false;
    this.left -= size;
    return true;
  }

  private spend(text: string): string {
    this.left -= text.length;
    return text;
  }
}

/** Cuts a text to a length. Never cuts through a surrogate pair. */
export function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  const end = length > 0 && /[\ud800-\udbff]/.test(text.charAt(length - 1)) ? length - 1 : length;
  return `${text.slice(0, end)}... (${text.length} characters)`;
}
