import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

import { ApiError, get, type Wire } from './api.js';

/** A part of the API that a view shows. */
export interface Resource<T> {
  /** The last answer for this path; undefined before the first one. */
  readonly data: Wire<T> | undefined;
  /** Why the last request failed; undefined after a success. */
  readonly error: ApiError | undefined;
  readonly reload: () => void;
}

interface State<T> {
  readonly path: string | undefined;
  readonly data: Wire<T> | undefined;
  readonly text: string;
  readonly error: ApiError | undefined;
}

/**
 * Reads a part of the API, and reads it again at intervals while the page is visible. Keeps the
 * last answer while a request fails.
 *
 * @param path undefined reads nothing
 * @param everyMs milliseconds between two reads; undefined reads once
 */
export function useResource<T>(path: string | undefined, everyMs?: number): Resource<T> {
  const [state, setState] = useState<State<T>>({ path: undefined, data: undefined, text: '', error: undefined });
  const [turn, setTurn] = useState(0);
  const interval = useRef(everyMs);
  interval.current = everyMs;
  useEffect(() => {
    if (path === undefined) return undefined;
    const abort = new AbortController();
    let timer: number | undefined;
    const read = async (): Promise<void> => {
      try {
        const data = await get<T>(path, abort.signal);
        const text = JSON.stringify(data);
        // An unchanged answer renders nothing.
        setState((before) =>
          before.path === path && before.text === text && before.error === undefined ? before : { path, data, text, error: undefined },
        );
      } catch (error) {
        if (abort.signal.aborted) return;
        const shown = error instanceof ApiError ? error : new ApiError(0, String(error));
        setState((before) => ({ ...(before.path === path ? before : { data: undefined, text: '' }), path, error: shown }));
      }
      if (!abort.signal.aborted && interval.current !== undefined) timer = window.setTimeout(next, interval.current);
    };
    const next = (): void => {
      timer = undefined;
      if (!document.hidden) void read();
    };
    const shown = (): void => {
      if (!document.hidden && timer === undefined && interval.current !== undefined) timer = window.setTimeout(next, 0);
    };
    document.addEventListener('visibilitychange', shown);
    void read();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', shown);
    };
  }, [path, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const isCurrent = state.path === path;
  return { data: isCurrent ? state.data : undefined, error: isCurrent ? state.error : undefined, reload };
}
