import { useEffect, useState } from 'preact/hooks';

const listeners = new Set<() => void>();
let timer: number | undefined;

/** Renders the component again each second, so that relative times stay right. */
export function useTick(): void {
  const [, setTurn] = useState(0);
  useEffect(() => {
    const ticked = (): void => setTurn((turn) => turn + 1);
    listeners.add(ticked);
    timer ??= window.setInterval(() => {
      if (!document.hidden) for (const listener of listeners) listener();
    }, 1_000);
    return () => {
      listeners.delete(ticked);
      if (listeners.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, []);
}
