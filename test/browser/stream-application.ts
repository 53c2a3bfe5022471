import { Controller, Get, Header, Module, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { defineSignal, Workflow, WorkflowModule, type WorkflowContext } from '../../src/index.js';
import { closeLater } from '../support/application.js';

/** Signal with the next word of a run of `Repeats`. */
export const more = defineSignal<string>('more');

/** Writes each word of the signal `more` to a stream. Ends at the word `stop`. */
@Workflow({ name: 'repeats' })
export class Repeats {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    for (;;) {
      const word = await ctx.waitForSignal(more);
      if (word === 'stop') return;
      await ctx.stream('answer').write(word);
    }
  }
}

@Controller()
class EmptyPage {
  @Get()
  @Header('content-type', 'text/html')
  page(): string {
    return '<!doctype html><title>empty</title>';
  }
}

/** A request for a stream, as the server sees the request. */
export interface SeenRequest {
  readonly lastEventId: string | undefined;
  /** Status of the response; undefined until the response has ended. */
  status: number | undefined;
}

/** Serves streams and an empty page. `closeApplications` closes the application. */
export async function serveStreams(databaseUrl: string, port: number, seen: SeenRequest[] = []): Promise<INestApplication> {
  const imports = [WorkflowModule.forRoot({ connection: { url: databaseUrl }, worker: {}, http: { streams: { guards: [] } } })];
  @Module({ imports, controllers: [EmptyPage], providers: [Repeats] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false });
  closeLater(app);
  type Request = { readonly url: string; readonly headers: Readonly<Record<string, string | undefined>> };
  type Response = { readonly statusCode: number; once(event: 'close', listener: () => void): void };
  app.use((request: Request, response: Response, next: () => void) => {
    if (request.url.includes('/streams/')) {
      const entry: SeenRequest = { lastEventId: request.headers['last-event-id'], status: undefined };
      seen.push(entry);
      response.once('close', () => (entry.status = response.statusCode));
    }
    next();
  });
  await app.listen(port, '127.0.0.1');
  return app;
}
