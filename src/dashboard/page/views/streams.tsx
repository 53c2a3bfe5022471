import type { JSX } from 'preact';

import type { ShownStream } from '../../api/run.js';
import type { StreamDescription } from '../../../client/queries/streams.js';
import { runPath, segment, type Wire } from '../api.js';
import { Failure, Panel, Text } from '../parts/basics.js';
import { useResource } from '../resource.js';
import { visible } from '../text.js';

/** Number of the last chunks that are shown of a stream. */
const LAST = 100;

/** The streams of a run, live while it writes. */
export function Streams({ runId, isOver }: { readonly runId: string; readonly isOver: boolean }): JSX.Element | null {
  const list = useResource<{ streams: StreamDescription[] }>(runPath(runId, '/streams'), isOver ? undefined : 2_000);
  if (!list.data || list.data.streams.length === 0) return null;
  return (
    <Panel title="Streams">
      {list.data.streams.map((stream) => (
        <Stream key={stream.name} runId={runId} stream={stream} />
      ))}
    </Panel>
  );
}

function Stream({ runId, stream }: { readonly runId: string; readonly stream: Wire<StreamDescription> }): JSX.Element {
  const path = runPath(runId, `/streams/${segment(stream.name)}?from=-${LAST}&limit=${LAST}`);
  const isOpen = stream.state === 'open';
  const { data, error } = useResource<ShownStream>(stream.state === 'expired' ? undefined : path, isOpen ? 1_000 : undefined);
  return (
    <div class="stream" data-state={stream.state}>
      <h3>
        <Text value={stream.name} length={60} />{' '}
        <span class="muted small">
          {stream.length.toLocaleString('en-US')} chunks, {stream.bytes.toLocaleString('en-US')} bytes, {stream.state}
        </span>
      </h3>
      {error && <Failure error={error} />}
      {data && (
        <pre class="code" tabIndex={0} role="region" aria-label={`Stream ${stream.name}`}>
          {data.chunks.map(({ index, type, value }) => (
            <span key={index} class={type === 'reset' ? 'muted' : ''}>
              {type === 'reset'
                ? '— begins again —'
                : value.state === 'value'
                  ? visible(value.text)
                  : value.state === 'unreadable'
                    ? '(encrypted)'
                    : ''}
              {'\n'}
            </span>
          ))}
        </pre>
      )}
    </div>
  );
}
