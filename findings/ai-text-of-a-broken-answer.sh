#!/usr/bin/env bash
# ai 6.0.325 and 7.0.173: streamText resolves `text` with half an answer when the provider reports an error.
#
# Guess:    an error that an OpenAI-compatible provider sends within a streamed answer makes textStream throw,
#           or result.text reject, as an answer with status 503 does.
# Behavior: after status 503, result.text rejects. After `data: {"error": ...}` in mid-answer, and after an
#           answer that ends without a finish_reason, textStream ends as usual and result.text resolves with
#           the words that have arrived. Only onError, finishReason ('error') and a part of fullStream
#           report the failure.
# Hurts:    code that stores `await result.text`, or the parts of textStream, as the answer: it stores half of
#           the answer as a success, and nothing retries the call. Read fullStream, and throw at a part with the
#           type "error".
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >finding.mjs <<'JS'
import { createServer } from 'node:http';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { streamText } from 'ai';

const server = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  const mode = JSON.parse(body).messages.at(-1).content;
  if (mode === 'status 503') {
    response.writeHead(503, { 'content-type': 'application/json' });
    return response.end('{"error":{"message":"overloaded"}}');
  }
  const send = (data) => response.write(`data: ${JSON.stringify(data)}\n\n`);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const delta = { content: 'half an answer' };
  send({ id: '1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: null }] });
  if (mode === 'error in the stream') send({ error: { message: 'overloaded' } });
  response.end(mode === 'early end' ? '' : 'data: [DONE]\n\n');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const provider = createOpenAICompatible({ name: 'local', baseURL: `http://127.0.0.1:${server.address().port}/v1`, apiKey: 'none' });
for (const prompt of ['status 503', 'error in the stream', 'early end']) {
  const result = streamText({ model: provider('m'), prompt, maxRetries: 0, onError: () => undefined });
  let read = '';
  try {
    for await (const part of result.textStream) read += part;
    read = `ends after "${read}"`;
  } catch {
    read = 'throws';
  }
  const text = await result.text.then((value) => `resolves with "${value}"`, () => 'rejects');
  console.log(`${prompt}: textStream ${read}, text ${text}`);
}
server.closeAllConnections();
server.close();
JS

expected='status 503: textStream ends after "", text rejects
error in the stream: textStream ends after "half an answer", text resolves with "half an answer"
early end: textStream ends after "half an answer", text resolves with "half an answer"'
status=0
check() {
  local version=$1 provider=$2 seen
  rm -rf node_modules package-lock.json
  printf '{ "private": true, "type": "module" }\n' >package.json
  npm install --no-audit --no-fund --loglevel=error "ai@$version" "@ai-sdk/openai-compatible@$provider" zod@4.6.7 >/dev/null
  seen=$(node finding.mjs)
  printf 'ai %s\n%s\n' "$version" "$seen"
  [ "$seen" = "$expected" ] || status=1
}
check 6.0.325 2.0.92
check 7.0.173 3.0.92
exit "$status"
