/** Real sidecars between nghttp2's tools or Python's h2 and an application on node:http2. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import http2 from 'node:http2';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { suiteScope } from '../support/cleanup.ts';
import { listenForTest } from '../support/http-app.ts';
import { startStaticPair } from '../support/static-pair.ts';

const run = promisify(execFile);
const scope = suiteScope();
let url = '';
let port = 0;

before(async () => {
  const origin = http2.createServer();
  origin.on('session', (session) => session.on('error', () => {}));
  origin.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ 'x-path': headers[':path'] });
    stream.pipe(stream);
  });
  const appPort = await listenForTest(scope, origin as unknown as Parameters<typeof listenForTest>[1]);
  const pair = await startStaticPair(scope, { ports: [{ port: 80, appPort, protocol: 'http2' }] });
  port = pair.localPort(80);
  url = `http://127.0.0.1:${port}`;
});

describe('http2 with independent tools', () => {
  it('serves nghttp', async () => {
    const { stdout } = await run('nghttp', ['-v', '--no-dep', '-H', 'x-a: b', `${url}/a?b`, `${url}/c`]);
    assert.match(stdout, /x-path: \/a\?b/);
    assert.match(stdout, /x-path: \/c/);
    assert.equal(stdout.match(/:status: 200/g)?.length, 2);
  });

  it('serves h2load without an error, many streams at once', async () => {
    const { stdout } = await run('h2load', ['-n', '4000', '-c', '4', '-m', '50', `${url}/load`]);
    assert.match(stdout, /4000 succeeded, 0 failed, 0 errored/);
  });

  it('serves h2load with small windows', async () => {
    const { stdout } = await run('h2load', [
      '-n',
      '400',
      '-c',
      '2',
      '-m',
      '8',
      '-w',
      '10',
      '-W',
      '12',
      `${url}/load`,
    ]);
    assert.match(stdout, /400 succeeded, 0 failed, 0 errored/);
  });

  it("serves python's h2 and is understood by it", async () => {
    const script = `
import socket, sys
from h2.connection import H2Connection
from h2.config import H2Configuration
from h2.events import ResponseReceived, DataReceived, StreamEnded
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10)
c = H2Connection(config=H2Configuration(client_side=True, header_encoding='latin-1'))
c.initiate_connection()
want = {}
for n in range(50):
    i = c.get_next_available_stream_id()
    want[i] = ('/p%d' % n, ('x' * n).encode())
    c.send_headers(i, [(':method', 'POST'), (':scheme', 'http'), (':authority', 'a.test'), (':path', '/p%d' % n), ('x-n', str(n % 5)), ('cookie', 'k=%d' % n)])
    c.send_data(i, ('x' * n).encode(), end_stream=True)
s.sendall(c.data_to_send())
paths, bodies, ended = {}, {}, set()
while len(ended) < 50:
    data = s.recv(65536)
    assert data, 'closed'
    for e in c.receive_data(data):
        if isinstance(e, ResponseReceived): paths[e.stream_id] = dict(e.headers)['x-path']
        if isinstance(e, DataReceived):
            bodies[e.stream_id] = bodies.get(e.stream_id, b'') + e.data
            if e.flow_controlled_length: c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
        if isinstance(e, StreamEnded): ended.add(e.stream_id)
    s.sendall(c.data_to_send())
for i, (path, body) in want.items():
    assert paths[i] == path, (paths[i], path)
    assert bodies.get(i, b'') == body
print('fine')
`;
    const { stdout } = await run('/usr/bin/python3', ['-c', script, String(port)]);
    assert.equal(stdout.trim(), 'fine');
  });
});
