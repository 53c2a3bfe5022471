import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { Text } from '../parts/basics.js';
import { Icon, type IconName } from '../parts/icon.js';
import { href } from '../router.js';
import { ROW } from '../rows.js';
import { useTick } from '../tick.js';
import { duration, now } from '../times.js';
import type { TimelineRow } from './rows.js';
import { scaleOf, type Scale } from './scale.js';

const ICONS: Readonly<Record<string, IconName>> = {
  sleep: 'sleep',
  retry: 'sleep',
  grace: 'sleep',
  signal: 'signal',
  hook: 'hook',
  child: 'child',
  start: 'child',
  compensation: 'undo',
  compensating: 'undo',
  compensated: 'undo',
  saga: 'undo',
};

/** The steps of a run as bars by time. Parallel steps are beside each other. */
export function Timeline(props: {
  readonly rows: readonly TimelineRow[];
  readonly from: number;
  /** End of the run; undefined while it has not ended. */
  readonly to: number | undefined;
  readonly chosen: string | undefined;
  readonly choose: (key: string) => void;
}): JSX.Element {
  const { rows, from, to, chosen, choose } = props;
  useTick();
  const [isToScale, setToScale] = useState(false);
  const end = Math.max(to ?? now(), ...rows.map((row) => row.to ?? row.from));
  const scale = scaleOf(rows, from, end, isToScale ? 'nothing' : 'long waits');
  return (
    <div class="timeline">
      {(scale.cuts.length > 0 || isToScale) && (
        <label class="small muted timeline-option">
          <input type="checkbox" checked={isToScale} onChange={(event) => setToScale(event.currentTarget.checked)} /> Draw long waits to
          scale
        </label>
      )}
      <div class="timeline-grid">
        <Axis scale={scale} />
        <ol class="timeline-rows">
          {rows.map((row) => (
            <Row key={row.key} row={row} scale={scale} isChosen={row.key === chosen} choose={() => choose(row.key)} />
          ))}
        </ol>
      </div>
    </div>
  );
}

const percent = (share: number): string => `${(share * 100).toFixed(3)}%`;

function Axis({ scale }: { readonly scale: Scale }): JSX.Element {
  return (
    <div class="axis" aria-hidden="true">
      {scale.cuts.map((cut) => (
        <span
          key={cut.from}
          class="axis-cut"
          style={{ left: percent(scale.place(cut.from)), width: percent(scale.place(cut.to) - scale.place(cut.from)) }}
        />
      ))}
      {scale.ticks.map((tick) => (
        <span key={tick} class="axis-tick" style={{ left: percent(scale.place(tick)) }}>
          {tick === scale.from ? '0' : duration(tick - scale.from)}
        </span>
      ))}
    </div>
  );
}

function Row(props: {
  readonly row: TimelineRow;
  readonly scale: Scale;
  readonly isChosen: boolean;
  readonly choose: () => void;
}): JSX.Element {
  const { row, scale, isChosen, choose } = props;
  const end = row.to ?? scale.to;
  const left = scale.place(row.from);
  const width = scale.place(end) - left;
  const inside = (at: number): string => percent(width === 0 ? 0 : (scale.place(at) - left) / width);
  const took = duration(end - row.from);
  const words = [
    row.kind === 'step' ? '' : row.operation,
    row.state === 'open' ? `open for ${took}` : `${row.state} in ${took}`,
    row.attempts > 1 ? `${row.attempts} attempts` : '',
  ].filter((word) => word !== '');
  return (
    <li class="timeline-row" data-step={row.key} data-chosen={isChosen ? '' : undefined}>
      <div class="timeline-name">
        <button type="button" class="timeline-label" {...ROW} aria-pressed={isChosen} onClick={choose}>
          <Icon name={ICONS[row.operation] ?? (row.kind === 'mark' ? 'mark' : 'step')} />
          <span class="timeline-key">
            <Text value={row.key} length={48} />
          </span>
          <span class="hidden">{words.join(', ')}</span>
          {row.attempts > 1 && (
            <span class="attempts" title={`${row.attempts} attempts`} aria-hidden="true">
              ×{row.attempts}
            </span>
          )}
        </button>
        {row.childRunId !== undefined && (
          <a class="timeline-child" href={href(['runs', row.childRunId])} title={`Child ${row.childRunId}`}>
            <span class="hidden">
              Child <Text value={row.childRunId} length={80} />
            </span>
            <Icon name="next" />
          </a>
        )}
      </div>
      <div class="timeline-track" onClick={choose} aria-hidden="true">
        <div
          class="bar"
          data-kind={row.kind}
          data-state={row.state}
          title={`${row.key}: ${words.join(', ')}`}
          style={{ left: percent(left), width: percent(width) }}
        >
          {row.failures.map((at) => (
            <span key={at} class="bar-failure" style={{ left: inside(at) }} />
          ))}
        </div>
        {row.kind !== 'mark' && (
          <span class="bar-time" style={{ left: percent(left + width) }}>
            {took}
          </span>
        )}
      </div>
    </li>
  );
}
