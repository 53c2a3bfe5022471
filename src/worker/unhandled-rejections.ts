import { isOfCall } from '../engine/rejections.js';

type Warn = (message: string, error: unknown) => void;

const workers = new Set<Warn>();

/**
 * Keeps the process alive when a workflow awaits a promise of a durable call too late: `const
 * reminder = this.remind(ctx)`, and the run is cancelled, or a branch loses, before `await
 * reminder`. By default Node ends a process for such a rejection, and all other runs of the process
 * with it. The process that takes the run over would end in the same way. Other rejections are
 * treated as Node would treat them.
 *
 * @returns a function that stops listening
 */
export function listenForRejections(warn: Warn): () => void {
  if (workers.size === 0) process.on('unhandledRejection', onRejection);
  workers.add(warn);
  return () => {
    if (workers.delete(warn) && workers.size === 0) process.off('unhandledRejection', onRejection);
  };
}

function onRejection(reason: unknown, promise: Promise<unknown>): void {
  if (isOfCall(reason)) {
    // Other listeners that count such promises, as Jest does, see that this one has been handled.
    promise.catch(() => undefined);
    const [warn] = workers;
    return warn?.('a workflow has a promise that nobody awaited when it failed; await it, or give it a catch', reason);
  }
  if (process.listenerCount('unhandledRejection') > 1) return;
  if (nodeThrows()) throw reason;
  process.emitWarning(`Unhandled promise rejection: ${String(reason)}`, 'UnhandledPromiseRejectionWarning');
}

/** True when Node's flag makes an unhandled rejection end the process. */
function nodeThrows(): boolean {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  const mode = /--unhandled-rejections[= ](\S+)/.exec(flags)?.[1] ?? 'throw';
  return mode === 'throw' || mode === 'strict';
}
