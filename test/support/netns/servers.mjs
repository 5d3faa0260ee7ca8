/**
 * Servers on every address, for tests in network namespaces. Arguments: PORT=KIND …
 *   raw    answers an HTTP request head with the very bytes it received as the body, then closes
 *   echo   sends back what comes, and FIN for FIN
 *   greet  speaks first: a line, then it closes
 *   http2  by prior knowledge: answers `http2 AUTHORITY PATH`
 */
import { createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:net';

const kinds = {
  raw: (socket) => {
    let text = '';
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
      if (!text.includes('\r\n\r\n')) return;
      socket.end(
        `HTTP/1.1 200 OK\r\nx-from: raw\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`,
      );
    });
  },
  echo: (socket) => socket.pipe(socket),
  greet: (socket) => socket.end('220 hello\r\n'),
};

const wanted = process.argv.slice(2).map((arg) => arg.split('='));
let left = wanted.length;
for (const [port, kind] of wanted) {
  const server =
    kind === 'http2'
      ? createHttp2Server((req, res) => res.end(`http2 ${req.authority} ${req.url}`))
      : createServer({ allowHalfOpen: true }, (socket) => {
          socket.on('error', () => socket.destroy());
          kinds[kind](socket);
        });
  server.listen({ host: '::', port: Number(port) }, () => {
    left--;
    if (left === 0) process.stdout.write('listening\n');
  });
}
