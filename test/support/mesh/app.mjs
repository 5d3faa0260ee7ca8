/**
 * An application that knows no mesh. `/` answers its instance, `/version` what `VERSION` says, `/stream` ticks until
 * somebody ends it, `/slow?MS` takes so long, `/ask?SERVICE` answers what that service says to it.
 */
import { createServer, get } from 'node:http';

const name = process.env.HEDDLE_INSTANCE;
const server = createServer((request, response) => {
  const [path, query = ''] = request.url.split('?');
  if (path === '/version') return response.end(process.env.VERSION ?? '');
  if (path === '/headers') return response.end(JSON.stringify(request.headers));
  if (path === '/slow') return setTimeout(() => response.end(name), Number(query));
  if (path === '/stream') {
    const timer = setInterval(() => response.write('tick\n'), 20);
    return response.on('close', () => clearInterval(timer));
  }
  if (path !== '/ask') return response.end(name);
  const address = process.env[`HEDDLE_${query.toUpperCase()}_ADDR`] ?? '';
  get(`http://${address}/`, { agent: false }, (answer) => {
    response.writeHead(answer.statusCode);
    answer.pipe(response);
  }).on('error', (error) => response.writeHead(599).end(error.message));
});
// Longer than any sidecar keeps a connection that rests.
server.keepAliveTimeout = 600_000;
server.listen(Number(process.env.PORT), '127.0.0.1');
