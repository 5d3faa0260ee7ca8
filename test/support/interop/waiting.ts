/** Whether a server that is not ours has come up. */
import { once } from 'node:events';
import { connect } from 'node:net';

/** Whether the port on loopback takes a connection now. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
