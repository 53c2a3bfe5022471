import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';

import { ApiError, get, runPath } from '../api.js';
import { FILTERS, filterOf, parseSearch, withCondition, withoutCondition } from '../filters.js';
import { useKeys } from '../keys.js';
import { Text } from '../parts/basics.js';
import { Icon } from '../parts/icon.js';
import { go, href } from '../router.js';

const HINT = 'Run id, workflow, or name:… queue:… tag:key=value error:… step:… after:2h';

/** The field that opens a run by its id, and adds conditions to the filter. */
export function SearchField({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState('');
  useKeys({ '/': () => field.current?.focus() });
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const { conditions, text: rest } = parseSearch(text);
    let next = filterOf(query);
    for (const [key, value] of conditions) next = withCondition(next, key, value);
    if (rest !== '') {
      if (conditions.length === 0 && (await isRun(rest))) return go(href(['runs', rest]));
      next = withCondition(next, 'name', rest);
    }
    setText('');
    go(href(['runs'], next));
  };
  return (
    <form class="search" role="search" onSubmit={(event) => void submit(event)}>
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        aria-label="Search"
        placeholder={HINT}
        title={HINT}
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === 'Escape' && event.currentTarget.blur()}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

async function isRun(runId: string): Promise<boolean> {
  try {
    await get(runPath(runId));
    return true;
  } catch (error) {
    return !(error instanceof ApiError && (error.status === 404 || error.status === 400));
  }
}

/** The conditions of the filter, each with a button that removes it. */
export function FilterChips({ query }: { readonly query: URLSearchParams }): JSX.Element | null {
  const conditions = [...query].filter(([key]) => key in FILTERS);
  if (conditions.length === 0) return null;
  return (
    <ul class="chips" aria-label="Filter">
      {conditions.map(([key, value]) => (
        <li key={`${key}=${value}`} class="chip">
          <span class="muted">{FILTERS[key]}</span> {value === '' ? 'none' : <Text value={value} length={60} />}
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${FILTERS[key]!.toLowerCase()} ${value.slice(0, 60)}`}
            onClick={() => go(href(['runs'], withoutCondition(query, key, value)))}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
      <li>
        <a class="small" href={href(['runs'])}>
          Clear all
        </a>
      </li>
    </ul>
  );
}
