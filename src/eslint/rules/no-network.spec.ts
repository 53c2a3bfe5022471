import { testRule, workflow } from '../../../test/support/lint-rules.js';

const error = { messageId: 'request' };
const AXIOS = { imports: "import axios from 'axios';" };

testRule('no-network', {
  valid: {
    'allows a client in the place of a body': workflow("return ctx.step('load', axios.get.bind(axios, order.url));", AXIOS),
    'allows classes and helpers of a client': workflow(
      'const headers = AxiosHeaders.from(order.headers); return [new AxiosHeaders(), new axios.CanceledError(), axios.getUri(order)];',
      { imports: "import axios, { AxiosHeaders } from 'axios';" },
    ),
    'allows requests in steps': workflow("return ctx.step('rates', () => fetch(order.url));", {
      members: '@Step() async load() { return fetch(this.url); }',
    }),
    'allows requests in the compensation of a child': workflow(
      'return ctx.invoke(Hotel, order, { compensate: (booking) => fetch(booking.url) });',
    ),
    'allows requests in the compensation of several children': workflow(
      'return ctx.invokeMany(Hotel, order.hotels, { compensate: (booking) => fetch(booking.url) });',
    ),
    'allows modules that a body loads': workflow(
      "return ctx.step('load', async () => [require('https').get(order.url), (await import('node:https')).get(order.url)]);",
    ),
    'allows a function of the file with the same name': workflow('return fetch(order);', {
      after: 'function fetch(order) { return order.id; }',
    }),
    'allows a parameter with the same name': workflow('return 1;', { parameters: 'fetch' }),
    'allows a method with the same name': workflow('return this.cache.fetch(order);'),
    'allows helpers of clients': workflow('try { return 1; } catch (error) { return axios.isAxiosError(error); }', AXIOS),
    'allows the type of a function': workflow('const load: typeof fetch = order.load; return load;'),
    'allows tests of a type': workflow("return [order instanceof WebSocket, typeof fetch === 'function'];"),
  },
  invalid: {
    'finds requests of modules that are loaded where they are used': {
      code: workflow("return [require('https').get(order.url), (await import('node:https')).default.get(order.url)];"),
      errors: [error, error],
    },
    'finds fetch through a cast': { code: workflow('return (globalThis as any).fetch(order.url);'), errors: [error] },
    'finds fetch in another option of a child': {
      code: workflow('return ctx.invoke(Hotel, order, { done: () => fetch(order.url) });'),
      errors: [error],
    },
    'finds fetch': { code: workflow('const { body } = await fetch(order.url);'), errors: [error] },
    'finds fetch of the global object': { code: workflow('return globalThis.fetch(order.url);'), errors: [error] },
    'finds fetch that is passed on': { code: workflow('return order.urls.map(fetch);'), errors: [error] },
    'finds sockets': { code: workflow('return new WebSocket(order.url);'), errors: [error] },
    'finds requests of Node': {
      code: workflow('return [https.get(order.url), request(order.url)];', {
        imports: "import https from 'node:https'; import { request } from 'http';",
      }),
      errors: [error, error],
    },
    'finds the other requests': {
      code: workflow('return [new EventSource(a), new XMLHttpRequest(), undici.request(a), got.post(a), ky(a), load(a)];', {
        imports: "import * as undici from 'undici'; import got from 'got'; import ky from 'ky'; import load from 'node-fetch';",
      }),
      errors: [error, error, error, error, error, error],
    },
    'finds clients': {
      code: workflow('return [axios(order.url), axios.get(order.url), get(order.url)];', {
        imports: "import axios, { get } from 'axios';",
      }),
      errors: [error, error, error],
    },
  },
});
