import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';

import { Text } from './basics.js';
import { AskDialog, Field } from './dialog.js';

/** Words of a dialog that asks before a change. */
export interface ChangeWords {
  readonly title: string;
  readonly confirm: string;
  readonly about: string;
  readonly isDangerous?: boolean;
}

/**
 * Asks before a change of one thing, and asks for the reason.
 *
 * @param name id or name of the thing
 * @param reasonHint place that shows the reason
 * @param act makes the change with the reason, which may be empty; `'stay'` leaves the dialog to the
 *   caller
 */
export function ChangeDialog(props: {
  readonly words: ChangeWords;
  readonly name: string;
  readonly children?: ComponentChildren;
  readonly reasonHint?: string;
  readonly act: (reason: string) => Promise<void | 'stay'>;
  readonly close: () => void;
}): JSX.Element {
  const { words, name, children, reasonHint = 'Shown in the log of the application', act, close } = props;
  const { title, confirm, about, isDangerous = false } = words;
  const [reason, setReason] = useState('');
  return (
    <AskDialog title={title} confirm={confirm} isDangerous={isDangerous} act={() => act(reason)} close={close}>
      <p>{about}</p>
      <p class="mono small">
        <Text value={name} length={80} />
      </p>
      {children}
      <Field label="Reason" hint={reasonHint} value={reason} change={setReason} maxLength={255} />
    </AskDialog>
  );
}
