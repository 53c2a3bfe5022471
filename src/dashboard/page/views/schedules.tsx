import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { ScheduleDescription } from '../../../client/schedules/schedule-description.js';
import type { Done } from '../../api/actions.js';
import type { ScheduleList } from '../../api/queues.js';
import { post, type Wire } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { AskDialog, Field } from '../parts/dialog.js';
import { useResource } from '../resource.js';
import { go, href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { visible } from '../text.js';
import { duration } from '../times.js';

type Schedule = Wire<ScheduleDescription>;
type ScheduleAction = 'pause' | 'resume' | 'trigger';

const PAGE = 100;

/** Schedules with their last and next due times. */
export function SchedulesView({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const after = query.get('after');
  const path = `schedules?${new URLSearchParams([['limit', String(PAGE)], ...(after === null ? [] : [['after', after]])]).toString()}`;
  const { data, error, reload } = useResource<ScheduleList>(path, 3_000);
  const [asked, setAsked] = useState<{ readonly action: ScheduleAction; readonly name: string }>();
  useRowKeys();
  return (
    <>
      <ViewHead title="Schedules" />
      {error && <Failure error={error} retry={reload} />}
      {data ? <ScheduleTable schedules={data.schedules} ask={(action, name) => setAsked({ action, name })} /> : !error && <Skeleton />}
      {data && (after !== null || data.schedules.length === PAGE) && (
        <nav class="pager" aria-label="Pages">
          {after === null ? <span /> : <a href={href(['schedules'])}>First schedules</a>}
          {data.schedules.length === PAGE && <a href={href(['schedules'], { after: data.schedules.at(-1)!.name })}>More schedules</a>}
        </nav>
      )}
      {asked && <ScheduleDialog {...asked} close={() => setAsked(undefined)} done={reload} />}
    </>
  );
}

const STATES = { active: 'completed', paused: 'paused', ended: 'ended' } as const;

function ScheduleTable(props: {
  readonly schedules: readonly Schedule[];
  readonly ask: (action: ScheduleAction, name: string) => void;
}): JSX.Element {
  const { schedules, ask } = props;
  const { isReadOnly } = useOverview();
  if (schedules.length === 0)
    return (
      <Empty title="There are no schedules">
        <code>@Schedule</code> on a workflow, or <code>client.schedules.create</code>, makes one.
      </Empty>
    );
  return (
    <div class="scroll" role="region" aria-label="Schedules" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Schedule</th>
            <th scope="col">State</th>
            <th scope="col">When</th>
            <th scope="col" class="number">
              Last
            </th>
            <th scope="col" class="number">
              Next
            </th>
            {!isReadOnly && <th scope="col">Change</th>}
          </tr>
        </thead>
        <tbody>
          {schedules.map((schedule) => (
            <tr key={schedule.name} data-schedule={schedule.name}>
              <td>
                <a {...ROW} href={href(['runs'], { name: schedule.workflow })}>
                  <Text value={schedule.name} length={48} />
                </a>
                <div class="small muted">
                  <Text value={schedule.workflow} length={48} />
                </div>
                {schedule.lastError !== undefined && <div class="small bad">{visible(schedule.lastError.slice(0, 200))}</div>}
              </td>
              <td>
                <span class="status" data-status={STATES[schedule.state]}>
                  {schedule.state}
                </span>
                {schedule.pauseReason !== undefined && (
                  <div class="small muted">
                    <Text value={schedule.pauseReason} length={80} />
                  </div>
                )}
              </td>
              <td>
                <code>{schedule.cron === undefined ? `every ${duration(schedule.everyMs ?? 0)}` : visible(schedule.cron)}</code>{' '}
                <span class="muted small">{schedule.cron === undefined ? '' : visible(schedule.timezone)}</span>
              </td>
              <td class="number">
                {schedule.lastRunId === undefined ? (
                  <Time at={schedule.last} />
                ) : (
                  <a href={href(['runs', schedule.lastRunId])}>
                    <Time at={schedule.last ?? schedule.updatedAt} />
                  </a>
                )}
              </td>
              <td class="number">
                <Time at={schedule.next} />
              </td>
              {!isReadOnly && (
                <td>
                  <div class="actions">
                    <button type="button" onClick={() => ask('trigger', schedule.name)}>
                      Start now…
                    </button>
                    {schedule.state !== 'ended' && (
                      <button type="button" onClick={() => ask(schedule.state === 'paused' ? 'resume' : 'pause', schedule.name)}>
                        {schedule.state === 'paused' ? 'Resume…' : 'Pause…'}
                      </button>
                    )}
                  </div>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const WORDS: Readonly<Record<ScheduleAction, readonly [title: string, confirm: string, about: string]>> = {
  pause: ['Pause the schedule?', 'Pause the schedule', 'The schedule starts no run until it is resumed.'],
  resume: ['Resume the schedule?', 'Resume the schedule', 'The schedule starts runs again.'],
  trigger: ['Start a run now?', 'Start a run', 'A run starts now, beside those of the due times.'],
};

function ScheduleDialog(props: {
  readonly action: ScheduleAction;
  readonly name: string;
  readonly close: () => void;
  readonly done: () => void;
}): JSX.Element {
  const { action, name, close, done } = props;
  const [title, confirm, about] = WORDS[action];
  const [reason, setReason] = useState('');
  const act = async (): Promise<void> => {
    const path = `schedules/${encodeURIComponent(name)}/${action}`;
    if (action === 'trigger') return go(href(['runs', (await post<Done>(path, {})).runId]));
    await post(path, action === 'pause' ? { reason } : {});
    done();
  };
  return (
    <AskDialog title={title} confirm={confirm} act={act} close={close}>
      <p>{about}</p>
      <p class="mono">
        <Text value={name} />
      </p>
      {action === 'pause' && <Field label="Reason" value={reason} change={setReason} maxLength={255} />}
    </AskDialog>
  );
}
