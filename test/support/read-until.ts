/**
 * Reads a response until the text has arrived, and returns what was read.
 *
 * @throws Error when the response ends before
 */
export async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, text: string): Promise<string> {
  const decoder = new TextDecoder();
  let received = '';
  while (!received.includes(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the response ended before ${text}: ${received}`);
    received += decoder.decode(value, { stream: true });
  }
  return received;
}
