/** A proxy on http2-proxy, as its documentation shows one: `peer.ts UPSTREAM-PORT http1|http2 http1|http2`. */
import { createServer } from 'node:http';
import { connect, createServer as createHttp2Server } from 'node:http2';
import proxy from 'http2-proxy';

const [upstreamPort, clients, upstream] = process.argv.slice(2);
const port = Number(upstreamPort);
const hostname = '127.0.0.1';

interface Options {
  readonly hostname: string;
  readonly port: number;
  readonly proxyName: string;
  readonly onReq?: (request: unknown, options: { path: string; headers: object }) => unknown;
}

/** Its own types do not fit today's Node. */
const web = proxy.web as unknown as (
  request: unknown,
  response: unknown,
  options: Options,
  done: (error: Error | null) => void,
) => void;

const options: Options = {
  hostname,
  port,
  proxyName: 'peer',
  ...(upstream === 'http2' && {
    onReq: (_request: unknown, { path, headers }: { path: string; headers: object }) =>
      connect(`http://${hostname}:${port}`).request({ ':path': path, ...headers }),
  }),
};

interface Ending {
  statusCode: number;
  end(): void;
}

const serve = (request: unknown, response: Ending) => {
  web(request, response, options, (error) => {
    if (error === null) return;
    response.statusCode = 502;
    response.end();
  });
};

const server = clients === 'http2' ? createHttp2Server(serve) : createServer(serve);
server.listen(0, hostname, () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? address?.port : ''}\n`);
});
