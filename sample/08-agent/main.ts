// `npm run sample:agent` plays an agent whose process is killed in the middle of an answer.
// `npm run sample:agent -- --serve` serves the page until Ctrl+C instead. See README.md.
import 'reflect-metadata';

import { openDatabase } from './database.js';
import { ModelServer } from './model-server.js';
import { serve } from './serve.js';
import { FAST_MS, playStory } from './story.js';

async function main(): Promise<void> {
  const isServing = process.argv.includes('--serve');
  const database = await openDatabase();
  const model = await ModelServer.start({ paceMs: isServing ? 120 : FAST_MS });
  try {
    const options = { databaseUrl: database.url, modelUrl: model.url };
    if (isServing) await serve(options);
    else await playStory(options, model);
  } finally {
    await model.close();
    await database.remove();
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
