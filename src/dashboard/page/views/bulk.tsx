import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { BulkPreview, BulkStatus } from '../../../client/control/bulk.js';
import { ApiError, post, segment } from '../api.js';
import { FILTERS } from '../filters.js';
import { AskDialog, Field, Modal } from '../parts/dialog.js';
import { Failure, Text } from '../parts/basics.js';
import { useResource } from '../resource.js';
import { counted } from '../text.js';
import { parsePayload } from './ask.js';

const KINDS = {
  retry: 'Retry failed runs',
  cancel: 'Ask runs to stop',
  signal: 'Send a signal',
  terminate: 'End runs without their code',
  delete: 'Delete ended runs',
} as const;

type Kind = keyof typeof KINDS;

const DANGEROUS: ReadonlySet<Kind> = new Set(['terminate', 'delete']);

/** Changes all runs of a filter: counts them first, then asks, and shows the progress. */
export function BulkDialog({ filter, close }: { readonly filter: URLSearchParams; readonly close: () => void }): JSX.Element {
  const [kind, setKind] = useState<Kind>(filter.getAll('status').join() === 'failed' ? 'retry' : 'cancel');
  const [reason, setReason] = useState('');
  const [signal, setSignal] = useState('');
  const [payload, setPayload] = useState('');
  const [rate, setRate] = useState('');
  const [preview, setPreview] = useState<BulkPreview>();
  const [started, setStarted] = useState<string>();
  if (started !== undefined) return <Progress token={started} title={KINDS[kind]} close={close} />;
  if (preview === undefined) {
    const count = async (): Promise<'stay'> => {
      const more = kind === 'signal' ? { signal, ...parsePayload(payload) } : {};
      setPreview(await post<BulkPreview>(`bulk/${kind}/count`, { filter: filter.toString(), reason, ...more }));
      return 'stay';
    };
    return (
      <AskDialog key="count" title="Change all runs of the filter" confirm="Count the runs" act={count} close={close}>
        <FilterSummary filter={filter} />
        <label class="field">
          <span>Change</span>
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as Kind)}>
            {Object.entries(KINDS).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        {kind === 'signal' && (
          <>
            <Field label="Signal" value={signal} change={setSignal} isRequired />
            <Field label="Payload" hint="JSON; empty for none" value={payload} change={setPayload} rows={3} />
          </>
        )}
        <Field label="Reason" hint="Shown in the history of each run" value={reason} change={setReason} maxLength={255} />
      </AskDialog>
    );
  }
  const start = async (): Promise<'stay'> => {
    const { token } = await post<BulkStatus>(`bulk/${kind}/start`, {
      token: preview.token,
      reason,
      ...(rate === '' ? {} : { rate: Number(rate) }),
    });
    setStarted(token);
    return 'stay';
  };
  return (
    <AskDialog
      key="start"
      title={`${KINDS[kind]}?`}
      confirm={`Change ${counted(preview.count, 'run')}`}
      isDangerous={DANGEROUS.has(kind)}
      isDisabled={preview.count === 0}
      act={start}
      close={close}
    >
      <p class="big-number" data-count={preview.count}>
        <b>{preview.count.toLocaleString('en-US')}</b> {preview.count === 1 ? 'run matches' : 'runs match'} now
      </p>
      <FilterSummary filter={filter} />
      <Field label="Most runs per second" hint="Empty for no limit" value={rate} change={setRate} />
    </AskDialog>
  );
}

function FilterSummary({ filter }: { readonly filter: URLSearchParams }): JSX.Element {
  return (
    <ul class="chips">
      {[...filter].map(([key, value]) => (
        <li key={`${key}=${value}`} class="chip">
          <span class="muted">{FILTERS[key] ?? 'Status'}</span> {value === '' ? 'none' : <Text value={value} length={60} />}
        </li>
      ))}
    </ul>
  );
}

function Progress({ token, title, close }: { readonly token: string; readonly title: string; readonly close: () => void }): JSX.Element {
  const [isOver, setOver] = useState(false);
  const [refusal, setRefusal] = useState<ApiError>();
  const { data, error, reload } = useResource<BulkStatus>(`bulk/${segment(token)}`, isOver ? undefined : 500);
  if (data && data.state !== 'running' && !isOver) setOver(true);
  const stop = async (): Promise<void> => {
    setRefusal(undefined);
    try {
      await post(`bulk/${segment(token)}/stop`, {});
      reload();
    } catch (failure) {
      setRefusal(failure instanceof ApiError ? failure : new ApiError(0, String(failure)));
    }
  };
  const share = data === undefined ? 0 : (data.done + data.skipped) / Math.max(1, data.count);
  return (
    <Modal title={title} close={close}>
      <div class="dialog-body" role="status" data-state={data?.state}>
        {error && <Failure error={error} />}
        {refusal && data?.state === 'running' && <Failure error={refusal} />}
        <progress max={1} value={isOver ? 1 : share} aria-label="Progress" />
        {data && (
          <p>
            {data.done.toLocaleString('en-US')} changed, {data.skipped.toLocaleString('en-US')} skipped of {counted(data.count, 'run')}
            {data.locked > 0 && `, ${data.locked} locked`}.{' '}
            {data.state === 'running' ? 'Workers do the work, also when you leave.' : data.state}
          </p>
        )}
      </div>
      <div class="dialog-foot">
        {data?.state === 'running' && (
          <button type="button" onClick={() => void stop()}>
            Stop
          </button>
        )}
        <button type="button" class="primary" data-focus onClick={close}>
          Close
        </button>
      </div>
    </Modal>
  );
}
