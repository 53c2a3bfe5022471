// Builds the routes of the application, as `workflow build` does, and those of the Nest
// application.
import { join } from 'node:path';

import { StandaloneBuilder } from '@workflow/builders';
import { NestLocalBuilder } from '@workflow/nest/builder';

await new StandaloneBuilder({
  buildTarget: 'standalone',
  workingDir: process.cwd(),
  dirs: ['./workflows'],
  stepsBundlePath: './.well-known/workflow/v1/step.mjs',
  workflowsBundlePath: './.well-known/workflow/v1/flow.mjs',
  webhookBundlePath: './.well-known/workflow/v1/webhook.mjs',
}).build();
await new NestLocalBuilder({ dirs: ['workflows'], outDir: join(process.cwd(), '.nestjs/root') }).build();
// The path is part of the bundle.
await new NestLocalBuilder({ dirs: ['workflows'], outDir: join(process.cwd(), '.nestjs/api'), basePath: '/api' }).build();
