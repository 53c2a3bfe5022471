import { isOfCall } from '../engine/rejections.js';

type Warn = (message: string, error: unknown) => void;

const workers = new Set<Warn>();

/**
 * Keeps the process alive when a workflow awaits a promise too late that was made of durable calls: `const reminder = this.remind(ctx)`, and the run is cancelled, or a
 * branch loses, before `await reminder`. Node ends a process for that by default, and with it every other run; whoever takes this one over would end likewise.
 * Whatever did not come out of a workflow's call is treated as if nobody listened here.
 */
export function listenForRejections(warn: Warn): () => void {
  if (workers.size === 0) process.on('unhandledRejection', heard);
  workers.add(warn);
  return () => {
    if (workers.delete(warn) && workers.size === 0) process.off('unhandledRejection', heard);
  };
}

function heard(reason: unknown, promise: Promise<unknown>): void {
  if (isOfCall(reason)) {
    // Whoever else counts such promises (Jest does) sees that this one has been handled after all.
    promise.catch(() => undefined);
    const [warn] = workers;
    return warn?.('a workflow has a promise that nobody awaited when it failed; await it, or give it a catch', reason);
  }
  if (process.listenerCount('unhandledRejection') > 1) return;
  if (nodeThrows()) throw reason;
  process.emitWarning(`Unhandled promise rejection: ${String(reason)}`, 'UnhandledPromiseRejectionWarning');
}

/** What Node does with rejections that nobody hears, by its flag. */
function nodeThrows(): boolean {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  const mode = /--unhandled-rejections[= ](\S+)/.exec(flags)?.[1] ?? 'throw';
  return mode === 'throw' || mode === 'strict';
}
