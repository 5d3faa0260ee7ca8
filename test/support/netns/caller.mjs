/**
 * One connection as some user: `{ uid, address, port, send, until }` as JSON in the first argument. Prints
 * `{ text, error }`: everything received up to `until`, the peer's FIN or the error that ended it. With
 * `http2: { authority, path }` it is a request by prior knowledge, and the text its status and body.
 */
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

const { uid, address, port, send = '', until, http2 } = JSON.parse(process.argv[2]);
// Only now, so that the program may lie where that user cannot read.
process.setgroups([]);
process.setgid(uid);
process.setuid(uid);

let text = '';
const finish = (error) => {
  clearTimeout(timer);
  process.stdout.write(`${JSON.stringify({ text, error })}\n`, () => process.exit(0));
};
const timer = setTimeout(() => finish('timeout'), 15_000);
if (http2 === undefined) exchangeBytes();
else askByHttp2(http2);

function exchangeBytes() {
  const socket = connect({ host: address, port, allowHalfOpen: true });
  socket.setEncoding('latin1').on('data', (part) => {
    text += part;
    if (until !== undefined && text.includes(until)) finish('');
  });
  socket.on('end', () => finish(''));
  socket.on('error', (error) => finish(error.code));
  socket.write(send, 'latin1');
}

function askByHttp2({ authority, path }) {
  const createConnection = () => connect({ host: address, port });
  const session = connectHttp2(`http://${authority}`, { createConnection });
  session.on('error', (error) => finish(error.code));
  const stream = session.request({ ':path': path });
  stream.on('error', (error) => finish(error.code));
  stream.on('response', (head) => {
    text = `${head[':status']} `;
  });
  stream.setEncoding('latin1').on('data', (part) => {
    text += part;
  });
  stream.on('end', () => finish(''));
}
