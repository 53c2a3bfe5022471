/** Kind of a message to a run. */
export type MessageKind = 'signal' | 'hook' | 'child' | 'child_failed' | 'event' | 'cancel' | 'pause' | 'resolve' | 'resolve_failed';

/** Properties of one kind of message. */
interface KindProperties {
  /**
   * First part of the channel on which waits receive the message. Null for requests about the whole
   * run, which no wait receives.
   */
  readonly channel: string | null;
  /** Meaning of the payload: a failed child run, for example, sends an error. */
  readonly outcome: 'value' | 'error';
  /**
   * Times at which a worker reads the message: `always`: whenever it reads the inbox, until the
   * message is deleted. `once`: when the message is new. `limited`: when the message is new and the
   * run has room for its payload.
   */
  readonly reading: 'always' | 'once' | 'limited';
  /** True when a failed run keeps the message for a retry. */
  readonly isKeptOnFailure: boolean;
  /**
   * True when the message moves to the continuation when a run is continued. Other messages contain
   * results that steps of the old run wait for, and do not move.
   */
  readonly movesOn: boolean;
}

/**
 * Kinds of messages to runs, as stored in the column `kind` of `workflow_inbox`. The compiler
 * requires one row for each `MessageKind`. The type is written out, so that the API reference shows
 * its values.
 */
const KINDS = {
  signal: { channel: 'signal', outcome: 'value', reading: 'limited', isKeptOnFailure: true, movesOn: true },
  hook: { channel: 'hook', outcome: 'value', reading: 'limited', isKeptOnFailure: true, movesOn: true },
  child: { channel: 'child', outcome: 'value', reading: 'once', isKeptOnFailure: true, movesOn: false },
  child_failed: { channel: 'child', outcome: 'error', reading: 'once', isKeptOnFailure: true, movesOn: false },
  event: { channel: 'event', outcome: 'value', reading: 'once', isKeptOnFailure: false, movesOn: false },
  cancel: { channel: null, outcome: 'value', reading: 'always', isKeptOnFailure: false, movesOn: true },
  pause: { channel: null, outcome: 'value', reading: 'always', isKeptOnFailure: false, movesOn: true },
  resolve: { channel: 'resolve', outcome: 'value', reading: 'always', isKeptOnFailure: false, movesOn: false },
  resolve_failed: { channel: 'resolve', outcome: 'error', reading: 'always', isKeptOnFailure: false, movesOn: false },
} as const satisfies Readonly<Record<MessageKind, KindProperties>>;

/** Kind of a message that waits receive, by channel. */
type ChannelKind = { [K in MessageKind]: (typeof KINDS)[K]['channel'] extends null ? never : K }[MessageKind];

/** Lists the kinds of messages that have the given properties. */
export function kindsWith(wanted: Partial<KindProperties>): MessageKind[] {
  const properties = Object.entries(wanted) as [keyof KindProperties, unknown][];
  return (Object.keys(KINDS) as MessageKind[]).filter((kind) => properties.every(([key, value]) => KINDS[kind][key] === value));
}

/** Returns the outcome that a message of this kind reports. */
export function outcomeOf(kind: MessageKind): KindProperties['outcome'] {
  return KINDS[kind].outcome;
}

/** True when a worker reads messages of this kind only if their run has room for the payloads. */
export function isLimited(kind: MessageKind): boolean {
  return KINDS[kind].reading === 'limited';
}

/**
 * Returns the channel of a message.
 *
 * @param name name of the signal, token of the hook, or key of the step (for a child, with its
 *   generation)
 */
export function channelOf(kind: ChannelKind, name: string): string {
  return `${KINDS[kind].channel}:${name}`;
}

const LIMITED_PREFIXES = kindsWith({ reading: 'limited' }).map((kind) => `${KINDS[kind].channel}:`);

/** True when the channel receives messages that a run holds only up to a limit. */
export function isLimitedChannel(channel: string): boolean {
  return LIMITED_PREFIXES.some((prefix) => channel.startsWith(prefix));
}
