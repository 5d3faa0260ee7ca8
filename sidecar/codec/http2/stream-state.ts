// hot: a few look-ups per stream.
/**
 * The life of one stream, without push, the same for both sides. RFC 9113 §5.1.
 *
 *   idle ─headers─▶ open ─recv_end─▶ half_closed_remote ─send_end─▶ closed
 *                     └──send_end─▶ half_closed_local ──recv_end─────┘
 *
 * A reset from either side closes at once; what the peer sent before it learned of ours is dropped by the session,
 * which no longer knows the stream.
 */
export type StreamState = 'idle' | 'open' | 'half_closed_local' | 'half_closed_remote' | 'closed';

export type StreamEvent = 'headers' | 'recv_end' | 'send_end' | 'reset';

const transitions: Record<StreamState, Partial<Record<StreamEvent, StreamState>>> = {
  idle: { headers: 'open', reset: 'closed' },
  open: { headers: 'open', recv_end: 'half_closed_remote', send_end: 'half_closed_local', reset: 'closed' },
  half_closed_local: { headers: 'half_closed_local', recv_end: 'closed', reset: 'closed' },
  half_closed_remote: { send_end: 'closed', reset: 'closed' },
  closed: {},
};

/** The state after `event`, or undefined where it is not allowed. */
export function advance(state: StreamState, event: StreamEvent): StreamState | undefined {
  return transitions[state][event];
}

/** Whether the peer may still send on the stream. */
export function canReceive(state: StreamState): boolean {
  return state === 'open' || state === 'half_closed_local';
}

/** Whether we may still send on the stream. */
export function canSend(state: StreamState): boolean {
  return state === 'idle' || state === 'open' || state === 'half_closed_remote';
}
