/** A program that knows no mesh: `/` answers its own name, `/ask?SERVICE` what that service answers through the sidecar. */
import { createServer, get } from 'node:http';

const name = process.env.HEDDLE_INSTANCE;
createServer((request, response) => {
  const [, service] = request.url.split('?');
  if (service === undefined) return response.end(name);
  const address = process.env[`HEDDLE_${service.toUpperCase()}_ADDR`] ?? '';
  get(`http://${address}/`, { agent: false }, (answer) => {
    response.writeHead(answer.statusCode);
    answer.pipe(response);
  }).on('error', (error) => response.writeHead(599).end(error.message));
}).listen(Number(process.env.PORT), '127.0.0.1');
