import { readdirSync, readFileSync } from 'node:fs';

import { it } from '@jest/globals';
import { replayHistory } from 'nestjs-durable/testing';

import { OrderWorkflow, PaymentService } from './order.workflow.js';

// npx nestjs-durable export order-7 --output test/testing/examples/histories/order-7.json
const folder = 'test/testing/examples/histories';

it.each(readdirSync(folder))('continues the run in %s', async (file) => {
  await replayHistory(OrderWorkflow, readFileSync(`${folder}/${file}`, 'utf8'), { providers: [PaymentService] });
});
