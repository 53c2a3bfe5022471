import type { JSX } from 'preact';

import type { Wire } from '../api.js';
import type { ShownError, ShownPayload } from '../../api/shown.js';
import { payloadText, visible } from '../text.js';
import { Copy } from './basics.js';

/**
 * A payload as text.
 *
 * @param more asks for the whole payload; undefined when there is no more
 */
export function Payload(props: {
  readonly label: string;
  readonly payload: Wire<ShownPayload>;
  readonly absent?: string;
  readonly more?: (() => void) | undefined;
}): JSX.Element {
  const { label, payload, absent = 'none', more } = props;
  return (
    <div class="payload">
      <div class="payload-head">
        <h3>{label}</h3>
        {payload.state === 'value' && <Copy text={payload.text} label={`Copy ${label.toLowerCase()}`} />}
      </div>
      {payload.state === 'absent' && <p class="muted small">{absent}</p>}
      {payload.state === 'unreadable' && (
        <p class="sealed small">
          <b>Encrypted or unreadable.</b> {visible(payload.reason)}
        </p>
      )}
      {payload.state === 'value' && (
        <pre class="code" tabIndex={0} role="region" aria-label={label}>
          {payloadText(payload.text, payload.isCut)}
        </pre>
      )}
      {payload.state === 'value' && payload.isCut && (
        <p class="small muted">
          {payload.text.length.toLocaleString('en-US')} of {payload.length.toLocaleString('en-US')} characters.{' '}
          {more && (
            <button type="button" class="link" onClick={more}>
              Show more
            </button>
          )}
        </p>
      )}
    </div>
  );
}

/** An error with its causes and stacks. */
export function ErrorDetails({ error, depth = 0 }: { readonly error: Wire<ShownError>; readonly depth?: number }): JSX.Element {
  return (
    <div class="error-details">
      <p class="error-line">
        {depth > 0 && <span class="muted">caused by </span>}
        <b>{visible(error.name)}</b>
        {error.code !== undefined && error.code !== error.name && <code class="tag">{visible(error.code)}</code>}
      </p>
      <p class="error-message">
        <bdi>{visible(error.message)}</bdi>
      </p>
      {error.stack !== undefined && (
        <details>
          <summary>Stack</summary>
          <pre class="code" tabIndex={0} role="region" aria-label="Stack">
            {visible(error.stack)}
          </pre>
        </details>
      )}
      {error.cause && <ErrorDetails error={error.cause} depth={depth + 1} />}
    </div>
  );
}
