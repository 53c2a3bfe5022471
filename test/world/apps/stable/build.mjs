// Builds the routes of the application, as `workflow build` does. The bundles are CommonJS.
import { StandaloneBuilder } from '@workflow/builders';

await new StandaloneBuilder({
  buildTarget: 'standalone',
  workingDir: process.cwd(),
  dirs: ['./workflows'],
  stepsBundlePath: './.well-known/workflow/v1/step.cjs',
  workflowsBundlePath: './.well-known/workflow/v1/flow.cjs',
  webhookBundlePath: './.well-known/workflow/v1/webhook.js',
}).build();
