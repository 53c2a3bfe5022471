/** A server-sent event, in the form of Nest's `MessageEvent`. */
export interface StreamMessage {
  /** JSON text. */
  data: string;
  /** Place in the stream, with which a browser that connects again continues. */
  id: string;
  /** `reset` or `end`; absent for a chunk. */
  type?: string;
}
