import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { Done } from '../../api/actions.js';
import { ApiError, post, runPath } from '../api.js';
import { ChangeDialog } from '../parts/change-dialog.js';
import { Field } from '../parts/dialog.js';

/** A change of one run. */
export type ActionName = 'cancel' | 'terminate' | 'pause' | 'resume' | 'retry' | 'fork' | 'signal' | 'resolve-step' | 'delete';

interface Words {
  readonly label: string;
  readonly confirm: string;
  readonly about: string;
  readonly isDangerous?: boolean;
}

export const ACTIONS: Readonly<Record<ActionName, Words>> = {
  pause: { label: 'Pause', confirm: 'Pause the run', about: 'No new step starts. Step bodies that are executing finish.' },
  resume: { label: 'Resume', confirm: 'Resume the run', about: 'The run continues where it stopped.' },
  retry: {
    label: 'Retry',
    confirm: 'Retry the run',
    about: 'The same run continues from the failed step, or from the step that you name.',
  },
  fork: { label: 'Fork', confirm: 'Start the fork', about: 'A new run starts with the same input. This run does not change.' },
  signal: { label: 'Signal', confirm: 'Send the signal', about: 'The run receives the signal when it waits for it.' },
  'resolve-step': {
    label: 'Resolve step',
    confirm: 'Set the result',
    about: 'The step gets this result instead of the result of its body.',
  },
  cancel: {
    label: 'Cancel',
    confirm: 'Cancel the run',
    about: 'The run is asked to stop. Its code may still clean up, and completed steps are undone.',
    isDangerous: true,
  },
  terminate: {
    label: 'Terminate',
    confirm: 'End the run now',
    about: 'The run ends at once. None of its code is executed: no clean-up, no compensation.',
    isDangerous: true,
  },
  delete: {
    label: 'Delete',
    confirm: 'Delete the run',
    about: 'The run, its chain and its ended children are gone for good.',
    isDangerous: true,
  },
};

/** A deleted run has no history, and a signal has no reason there. */
const IN_HISTORY: ReadonlySet<ActionName> = new Set(['cancel', 'terminate', 'pause', 'resume', 'retry', 'fork', 'resolve-step']);

/** Reads the payload that somebody has typed. An empty text is no payload. */
export function parsePayload(text: string, name = 'payload'): Record<string, unknown> {
  if (text.trim() === '') return {};
  try {
    return { [name]: JSON.parse(text) as unknown };
  } catch {
    throw new ApiError(400, `The ${name} is not JSON. A text needs quotation marks: "text".`);
  }
}

/**
 * Asks before a change of one run, and makes the change.
 *
 * @param stepKey step that the change concerns, when it was chosen in the timeline
 * @param done called after the change, with the id of the changed or new run
 */
export function ActionDialog(props: {
  readonly action: ActionName;
  readonly runId: string;
  readonly stepKey?: string | undefined;
  readonly signalName?: string | undefined;
  readonly close: () => void;
  readonly done: (runId: string) => void;
}): JSX.Element {
  const { action, runId, close, done } = props;
  const { label, ...words } = ACTIONS[action];
  const [stepKey, setStepKey] = useState(props.stepKey ?? '');
  const [name, setName] = useState(props.signalName ?? '');
  const [payload, setPayload] = useState('');
  const [failure, setFailure] = useState('');
  const act = async (reason: string): Promise<void> => {
    const changed = await post<Done>(runPath(runId, `/${action}`), { reason, ...fieldsOf() });
    done(changed.runId);
  };
  const fieldsOf = (): Record<string, unknown> => {
    if (action === 'signal') return { name, ...parsePayload(payload) };
    if (action === 'retry' || action === 'fork') return stepKey === '' ? {} : { fromStep: stepKey };
    if (action !== 'resolve-step') return {};
    const result = failure === '' ? { output: null, ...parsePayload(payload, 'output') } : { error: failure };
    return { stepKey, ...result };
  };
  return (
    <ChangeDialog
      words={{ title: `${label}?`, ...words }}
      name={runId}
      {...(IN_HISTORY.has(action) ? { reasonHint: 'Shown in the history of the run' } : {})}
      act={act}
      close={close}
    >
      {action === 'signal' && <Field label="Signal" value={name} change={setName} isRequired />}
      {(action === 'retry' || action === 'fork') && (
        <Field
          label="From step"
          hint={action === 'retry' ? 'Empty for the step that failed' : 'Empty for the beginning'}
          value={stepKey}
          change={setStepKey}
        />
      )}
      {action === 'resolve-step' && <Field label="Step" value={stepKey} change={setStepKey} isRequired />}
      {(action === 'signal' || action === 'resolve-step') && (
        <Field
          label={action === 'signal' ? 'Payload' : 'Output'}
          hint="JSON; empty for none"
          value={payload}
          change={setPayload}
          rows={4}
        />
      )}
      {action === 'resolve-step' && (
        <Field label="Or error" hint="Message of the error with which the step fails" value={failure} change={setFailure} />
      )}
    </ChangeDialog>
  );
}
