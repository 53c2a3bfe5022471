import { useKeys } from './keys.js';

/** Attribute of the link of a row, which the keys `j` and `k` select. */
export const ROW = { 'data-row': '' } as const;

/** Lets the keys `j` and `k` move the focus between the rows of a view. `Enter` opens the row. */
export function useRowKeys(): void {
  const move = (by: 1 | -1): void => {
    const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')];
    const at = rows.findIndex((row) => row === document.activeElement);
    const next = at === -1 ? (by === 1 ? rows[0] : rows.at(-1)) : rows[Math.min(rows.length - 1, Math.max(0, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: 'nearest' });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
}
