import { isOfCall } from '../engine/rejections.js';

type Warn = (message: string, error: unknown) => void;

const workers = new Set<Warn>();

/**
 * Keeps the process alive when a workflow awaits the promise of a durable call too late. Example:
 * after `const reminder = this.remind(ctx)` the run is cancelled, or its branch loses a race,
 * before `await reminder`. By default Node ends the process for such a rejection, and all other
 * runs of the process are lost. The process that takes the run over would then end in the same way.
 * Rejections that do not come from a durable call are treated as Node treats them by default.
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
    // Attach a handler, so that other listeners that count unhandled rejections, such as those of
    // Jest, count this one as handled.
    promise.catch(() => undefined);
    const [warn] = workers;
    return warn?.('worker: a workflow left a promise without an await, and the promise failed; await it, or give it a catch', reason);
  }
  if (process.listenerCount('unhandledRejection') > 1) return;
  if (nodeThrows()) throw reason;
  process.emitWarning(`Unhandled promise rejection: ${String(reason)}`, 'UnhandledPromiseRejectionWarning');
}

/** True when Node's flags let an unhandled rejection end the process. */
function nodeThrows(): boolean {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  const mode = /--unhandled-rejections[= ](\S+)/.exec(flags)?.[1] ?? 'throw';
  return mode === 'throw' || mode === 'strict';
}
