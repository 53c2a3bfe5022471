import { useEffect, useState } from 'preact/hooks';

/** The view that the address names, and its parameters. */
export interface Place {
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

/** Returns the address of a view. The part behind `#` never reaches the server. */
export function href(parts: readonly string[], query: URLSearchParams | Readonly<Record<string, string>> = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** Reads the address of the page. */
function currentPlace(): Place {
  const hash = location.hash.replace(/^#\/?/, '');
  const at = hash.indexOf('?');
  const path = at === -1 ? hash : hash.slice(0, at);
  const parts = path.split('/').filter((part) => part !== '');
  return { parts: parts.map(decoded), query: new URLSearchParams(at === -1 ? '' : hash.slice(at + 1)) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Goes to another view. `replace` leaves no entry in the browser's history. */
export function go(address: string, how: 'push' | 'replace' = 'push'): void {
  if (address === location.hash) return;
  if (how === 'push') location.hash = address;
  else {
    history.replaceState(null, '', address);
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
}

/** Returns the current view, and renders again when the address changes. */
export function usePlace(): Place {
  const [place, setPlace] = useState(currentPlace);
  useEffect(() => {
    const changed = (): void => setPlace(currentPlace());
    addEventListener('hashchange', changed);
    // The address may have changed between the first rendering and this effect.
    changed();
    return () => removeEventListener('hashchange', changed);
  }, []);
  return place;
}
