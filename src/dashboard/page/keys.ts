import { useLayoutEffect, useRef } from 'preact/hooks';

/** Actions of keys. A name may be a key alone, such as `j`, or two in a row, such as `g r`. */
export type KeyMap = Readonly<Record<string, (() => void) | undefined>>;

/** Milliseconds within which the second key of a pair must follow. */
const PAIR_MS = 1_200;

let first: { readonly key: string; readonly at: number } | undefined;

/**
 * Binds keys while a view is shown. The keys are bound before the browser paints, so that no key is
 * lost. Keys that somebody types into a field, and keys of an open dialog, do nothing here.
 */
export function useKeys(keys: KeyMap): void {
  const current = useRef(keys);
  current.current = keys;
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
      if (document.querySelector('dialog[open]')) return;
      const pair = first !== undefined && event.timeStamp - first.at < PAIR_MS ? `${first.key} ${event.key}` : undefined;
      const action = (pair === undefined ? undefined : current.current[pair]) ?? current.current[event.key];
      if (event.key === 'g') first = { key: 'g', at: event.timeStamp };
      else if (action) first = undefined;
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
