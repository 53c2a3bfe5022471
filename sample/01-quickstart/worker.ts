// A worker in a process of its own: started and killed by take-over.ts.
import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';

import { AppModule } from './app.module.js';
import { OutsideWorld } from './outside-world.js';

const app = await NestFactory.createApplicationContext(AppModule.forRoot(process.env['DATABASE_URL']!, {}), { logger: ['error'] });
app.enableShutdownHooks();
app.get(OutsideWorld).events.subscribe((event) => process.send?.(event));
process.once('disconnect', () => process.exit()); // whoever started it is gone
process.send?.('ready');
