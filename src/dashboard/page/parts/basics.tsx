import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

import type { ApiError } from '../api.js';
import { shortened, visible } from '../text.js';
import { useTick } from '../tick.js';
import { absolute, now, relative } from '../times.js';
import { Icon } from './icon.js';

/** Text of users, which cannot change how the text around it looks. */
export function Text({ value, length = 200 }: { readonly value: string; readonly length?: number }): JSX.Element {
  const shown = shortened(value, length);
  return <bdi title={shown === value ? undefined : visible(value.slice(0, 2_000))}>{visible(shown)}</bdi>;
}

/** Status of a run or a step. */
export function Status({ status, isBlocked = false }: { readonly status: string; readonly isBlocked?: boolean }): JSX.Element {
  const shown = isBlocked ? 'blocked' : status;
  return (
    <span class="status" data-status={shown}>
      {shown}
    </span>
  );
}

/** A time relative to now. The title has the time itself. */
export function Time({ at }: { readonly at: string | undefined }): JSX.Element {
  useTick();
  if (at === undefined) return <span class="muted">–</span>;
  return (
    <time dateTime={at} title={`${absolute(at)} (${at})`}>
      {relative(Date.parse(at))}
    </time>
  );
}

/** A time with the date, and relative to now. */
export function LongTime({ at }: { readonly at: string }): JSX.Element {
  useTick();
  return (
    <time dateTime={at} title={`${absolute(at)} (${at})`}>
      {relative(Date.parse(at))} <span class="muted small">{absolute(at).slice(0, -4)}</span>
    </time>
  );
}

/** Milliseconds from a time until its end, or until now while there is no end. */
export function useElapsed(from: string, to: string | undefined): number {
  useTick();
  return (to === undefined ? now() : Date.parse(to)) - Date.parse(from);
}

/** A button that copies a text. */
export function Copy({ text, label }: { readonly text: string; readonly label: string }): JSX.Element {
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return undefined;
    const timer = window.setTimeout(() => setDone(false), 1_500);
    return () => clearTimeout(timer);
  }, [isDone]);
  const copy = async (): Promise<void> => {
    await copyText(text);
    setDone(true);
  };
  return (
    <button type="button" class="quiet" aria-label={isDone ? 'Copied' : label} title={label} onClick={() => void copy()}>
      <Icon name={isDone ? 'check' : 'copy'} />
    </button>
  );
}

/** Copies a text. Without HTTPS, browsers have no clipboard for scripts, but still copy a selection. */
async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}

/** A message in place of content that is not there. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <div class="muted">{children}</div>}
    </div>
  );
}

/** A failed request. Content that arrived before stays beside it. */
export function Failure({ error, retry }: { readonly error: ApiError; readonly retry?: (() => void) | undefined }): JSX.Element {
  return (
    <div class="notice failure" role="alert">
      <span>
        <b>{error.status === 0 ? 'No connection.' : `Error ${error.status}.`}</b> {visible(error.message)}
      </span>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Lines in place of content that has not arrived yet. */
export function Skeleton({ lines = 6 }: { readonly lines?: number }): JSX.Element {
  return (
    <div class="skeleton" role="status">
      <span class="hidden">Loading</span>
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} class="skeleton-line" />
      ))}
    </div>
  );
}

/** A part of a view with a heading. */
export function Panel(props: {
  readonly title: ComponentChildren;
  readonly aside?: ComponentChildren;
  readonly children: ComponentChildren;
  readonly class?: string;
}): JSX.Element {
  return (
    <section class={`panel ${props.class ?? ''}`}>
      <div class="panel-head">
        <h2>{props.title}</h2>
        {props.aside && <div class="panel-aside">{props.aside}</div>}
      </div>
      {props.children}
    </section>
  );
}

/** The heading of a view. */
export function ViewHead({ title, children }: { readonly title: string; readonly children?: ComponentChildren }): JSX.Element {
  useEffect(() => {
    document.title = `${visible(title)} · Workflows`;
  }, [title]);
  return (
    <div class="view-head">
      <h1>{title}</h1>
      {children}
    </div>
  );
}

/** A fact in a list of facts. */
export function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
