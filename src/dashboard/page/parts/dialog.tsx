import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import { ApiError } from '../api.js';
import { Failure } from './basics.js';
import { Icon } from './icon.js';

/**
 * A dialog that asks before a change. The dialog closes after a success, and stays open with the
 * error after a failure.
 *
 * @param act makes the change; `'stay'` leaves the dialog to the caller
 */
export function AskDialog(props: {
  readonly title: string;
  readonly children?: ComponentChildren;
  readonly confirm: string;
  readonly isDangerous?: boolean;
  readonly isDisabled?: boolean;
  readonly act: () => Promise<void | 'stay'>;
  readonly close: () => void;
}): JSX.Element {
  const { title, children, confirm, isDangerous = false, isDisabled = false, act, close } = props;
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const isOpen = useRef(true);
  useLayoutEffect(() => () => void (isOpen.current = false), []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy || isDisabled) return;
    setBusy(true);
    setError(undefined);
    try {
      const next = await act();
      // A dialog that was closed while the request ran must not close the next one.
      if (isOpen.current && next !== 'stay') close();
    } catch (failure) {
      if (!isOpen.current) return;
      setError(failure instanceof ApiError ? failure : new ApiError(0, String(failure)));
      setBusy(false);
    }
  };
  return (
    <Modal title={title} close={close}>
      <form onSubmit={(event) => void submit(event)}>
        <div class="dialog-body">
          {children}
          {error && <Failure error={error} />}
        </div>
        <div class="dialog-foot">
          <button type="button" onClick={close}>
            Keep as it is
          </button>
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={isDisabled} aria-busy={isBusy}>
            {isBusy ? 'Working…' : confirm}
          </button>
        </div>
      </form>
    </Modal>
  );
}

/** A modal dialog. Escape and a click beside the dialog close it. */
export function Modal(props: { readonly title: string; readonly children: ComponentChildren; readonly close: () => void }): JSX.Element {
  const { title, children, close } = props;
  const element = useRef<HTMLDialogElement>(null);
  // The dialog gets the focus before the browser paints, so that no key is lost.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = element.current!;
    dialog.showModal();
    dialog.querySelector<HTMLElement>('[data-focus], input, textarea, select')?.focus();
    return () => {
      // While a modal dialog is open, nothing outside of it can get the focus.
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => event.target === element.current && close()}
    >
      <div class="dialog-head">
        <h2>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </dialog>
  );
}

/** A field of a dialog. */
export function Field(props: {
  readonly label: string;
  readonly hint?: string;
  readonly value: string;
  readonly change: (value: string) => void;
  readonly rows?: number;
  /** Kind of the input. (default: text) */
  readonly type?: 'text' | 'number' | 'datetime-local';
  readonly maxLength?: number;
  readonly isRequired?: boolean;
}): JSX.Element {
  const { label, hint, value, change, rows, type = 'text', maxLength, isRequired = false } = props;
  const shared = {
    value,
    maxLength,
    required: isRequired,
    onInput: (event: Event) => change((event.currentTarget as HTMLInputElement).value),
  };
  return (
    <label class="field">
      <span>{label}</span>
      {rows !== undefined && <textarea rows={rows} spellcheck={false} {...shared} />}
      {rows === undefined && type === 'text' && <input type="text" autocomplete="off" {...shared} />}
      {type === 'number' && <input type="number" min={1} {...shared} />}
      {type === 'datetime-local' && <input type="datetime-local" {...shared} />}
      {hint !== undefined && <small class="muted">{hint}</small>}
    </label>
  );
}
