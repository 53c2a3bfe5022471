import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { StepPage } from '../../api/run.js';
import { runPath } from '../api.js';
import { Copy, Fact, LongTime, Status, Text } from '../parts/basics.js';
import { Icon } from '../parts/icon.js';
import { ErrorDetails, Payload } from '../parts/payload.js';
import { useResource } from '../resource.js';
import type { TimelineRow } from '../timeline/rows.js';
import { duration } from '../times.js';
import type { ActionName } from './ask.js';

/** Details of the chosen step, with the changes that concern it. */
export function StepDetails(props: {
  readonly runId: string;
  readonly row: TimelineRow;
  readonly isFailed: boolean;
  readonly isEnded: boolean;
  readonly ask: ((action: ActionName, stepKey: string) => void) | undefined;
  readonly close: () => void;
}): JSX.Element {
  const { runId, row, isFailed, isEnded, ask, close } = props;
  const [isFull, setFull] = useState(false);
  const { step, key } = row;
  const whole = useResource<StepPage>(isFull && step ? runPath(runId, `/steps?after=${step.seq - 1}&limit=1&payloads=full`) : undefined);
  const output = whole.data?.steps[0]?.output ?? step?.output;
  const mayResolve = step === undefined ? !isEnded : isFailed;
  return (
    <div class="step-details" role="region" aria-label={`Step ${key}`}>
      <div class="step-head">
        <h3>
          <Text value={key} length={80} />
        </h3>
        <Copy text={key} label="Copy the key of the step" />
        <Status status={row.state === 'open' ? (row.kind === 'step' ? 'running' : 'waiting') : row.state} />
        <button type="button" class="quiet" aria-label="Close the step" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <dl class="facts">
        <Fact name="Kind">{row.operation}</Fact>
        <Fact name="Started">
          <LongTime at={new Date(row.from).toISOString()} />
        </Fact>
        {row.to !== undefined && <Fact name="Took">{duration(row.to - row.from)}</Fact>}
        {row.attempts > 0 && <Fact name="Attempts">{row.attempts}</Fact>}
        {step?.isCompensable && <Fact name="Compensation">undone when the run fails</Fact>}
      </dl>
      {step?.error && <ErrorDetails error={step.error} />}
      {output && step?.status === 'completed' && (
        <Payload label="Result" payload={output} absent="The step returned nothing." more={isFull ? undefined : () => setFull(true)} />
      )}
      {ask && (
        <div class="actions">
          {step && isFailed && (
            <button type="button" onClick={() => ask('retry', key)}>
              Retry from here…
            </button>
          )}
          {step && (
            <button type="button" onClick={() => ask('fork', key)}>
              Fork from here…
            </button>
          )}
          {mayResolve && (
            <button type="button" onClick={() => ask('resolve-step', key)}>
              Set the result…
            </button>
          )}
        </div>
      )}
    </div>
  );
}
