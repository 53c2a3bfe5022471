import { createServer, type AddressInfo } from 'node:net';
import { endWithParent, tellParent } from './child.js';

/** Answers each byte with a byte, after a delay. */
endWithParent();
const [, , delayMs] = process.argv;
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes) => setTimeout(() => socket.writable && socket.write(bytes), Number(delayMs)));
});
server.listen(0, '127.0.0.1', () => tellParent((server.address() as AddressInfo).port));
