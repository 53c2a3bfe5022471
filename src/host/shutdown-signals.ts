import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';

/** Signals that end a process. */
const SIGNALS: readonly string[] = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR2', 'SIGBREAK'];
/**
 * Milliseconds within which several signals count as one. A terminal sends a signal to the whole
 * process group, and npm or a process manager forwards the same signal again.
 */
const ONE_SIGNAL_MS = 1_000;

type Watcher = (signal: NodeJS.Signals) => void;

const watchers = new Set<Watcher>();
const observed = new Set<string>();
let lastAt = Number.NEGATIVE_INFINITY;
/**
 * Time of the first signal of the current shutdown, in milliseconds on the clock of
 * performance.now().
 */
let firstAt: number | undefined;
let isClosing = false;

/**
 * Watches for a second signal during a shutdown. Node ends the process at a signal that has no
 * listener, and watching must not prevent that. A signal is therefore observed only while it has
 * another listener.
 *
 * @param second called at a signal that arrives during the shutdown and more than a second after
 *   the first
 * @returns a function that stops watching
 */
export function watchSignals(second: Watcher): () => void {
  if (watchers.size === 0) {
    process.on('newListener', listenerAdded);
    process.on('removeListener', listenerRemoved);
    for (const signal of SIGNALS) if (process.listenerCount(signal) > 0) observe(signal);
  }
  watchers.add(second);
  return () => {
    if (!watchers.delete(second) || watchers.size > 0) return;
    process.off('newListener', listenerAdded);
    process.off('removeListener', listenerRemoved);
    for (const signal of observed) ignore(signal);
    isClosing = false;
    firstAt = undefined;
  };
}

/**
 * Records that the shutdown has begun. A signal that arrived within the last second counts as the
 * cause of the shutdown, and therefore as the first signal.
 */
export function noteShutdown(): void {
  if (isClosing) return;
  isClosing = true;
  firstAt = performance.now() - lastAt < ONE_SIGNAL_MS ? lastAt : undefined;
}

/** Ends the process with the exit code that the signal would have caused. */
export function exitBy(signal: NodeJS.Signals): never {
  process.exit(128 + (constants.signals[signal] ?? 0));
}

function listenerAdded(event: string | symbol): void {
  if (typeof event === 'string' && SIGNALS.includes(event)) observe(event);
}

/**
 * Stops observing a signal when no other listener is left, so that the signal ends the process
 * again.
 */
function listenerRemoved(event: string | symbol): void {
  if (typeof event === 'string' && observed.has(event) && process.listenerCount(event) === 1) ignore(event);
}

function observe(signal: string): void {
  if (observed.has(signal)) return;
  observed.add(signal);
  process.on(signal, signalArrived);
}

function ignore(signal: string): void {
  observed.delete(signal);
  process.off(signal, signalArrived);
}

function signalArrived(signal: NodeJS.Signals): void {
  const now = performance.now();
  lastAt = now;
  if (!isClosing) return;
  firstAt ??= now;
  if (now - firstAt >= ONE_SIGNAL_MS) for (const watcher of watchers) watcher(signal);
}
