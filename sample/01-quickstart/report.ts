import { styleText } from 'node:util';

import { euros, type Receipt } from './order.js';
import type { BodyEvent } from './outside-world.js';

type Style = Parameters<typeof styleText>[0];

const coloured = process.stdout.isTTY && process.stdout.hasColors();

export function paint(style: Style, text: string): string {
  return coloured ? styleText(style, text) : text;
}

export function heading(title: string, explanation: string): void {
  console.log(`\n${paint('bold', title)}\n${paint('dim', explanation)}\n`);
}

/** Prints lines with the time since the timeline was created. */
export class Timeline {
  private readonly began = performance.now();

  body(event: BodyEvent, worker = ''): void {
    const { runId, stepKey, attempt, state, note } = event;
    if (state === 'begun') return;
    const text = state === 'failed' ? paint('yellow', `failed: ${note}`) : note;
    this.line(worker, runId, `${stepKey.padEnd(31)} try ${attempt}  ${text}`);
  }

  result(runId: string, { payment, tracking }: Receipt, worker = ''): void {
    this.line(worker, runId, paint('green', `${'result'.padEnd(38)} ${euros(payment.cents)}, ${payment.id}, ${tracking}`));
  }

  remark(text: string): void {
    console.log(`${this.time()}  ${text}`);
  }

  private line(worker: string, runId: string, text: string): void {
    console.log([this.time(), ...(worker ? [worker] : []), runId, text].join('  '));
  }

  private time(): string {
    return paint('dim', `${((performance.now() - this.began) / 1_000).toFixed(2).padStart(6)} s`);
  }
}

/** Prints a table with right-aligned numbers. The first row names the columns. */
export function table(rows: readonly (readonly (string | number)[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  rows.forEach((row, index) => {
    const cells = row.map((cell, column) => {
      const number = typeof rows[1]?.[column] === 'number';
      return number ? String(cell).padStart(widths[column]!) : String(cell).padEnd(widths[column]!);
    });
    const line = `  ${cells.join('   ')}`.trimEnd();
    console.log(index === 0 ? paint('dim', line) : line);
  });
}
