// A worker in a process of its own, started and killed by take-over.ts.
import 'reflect-metadata';

import { bootApplication } from './boot.js';
import { OutsideWorld } from './outside-world.js';

const app = await bootApplication(process.env['DATABASE_URL']!, {});
app.enableShutdownHooks();
app.get(OutsideWorld).events.subscribe((event) => process.send?.(event));
process.once('disconnect', () => process.exit()); // the parent process has ended
process.send?.('ready');
