/** What goes wrong in HTTP/2 itself: error codes (RFC 9113 §7) and the error that ends a connection. */
import { type ErrorCode, MeshError } from '../../../kit/errors.ts';

export const faultCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

export type FaultCode = (typeof faultCode)[keyof typeof faultCode];

const names: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

/** The RFC's name of a code, or its number: peers may send any (RFC 9113 §7). */
export function faultName(code: number): string {
  return names[code] ?? `error ${code}`;
}

/**
 * The peer broke the connection: GOAWAY with `faultCode`, then close. The pure layers throw it;
 * the session catches it and tells the streams with the origin that is right for its side.
 */
export class ConnectionFault extends MeshError {
  readonly faultCode: FaultCode;

  constructor(code: FaultCode, message: string, what: ErrorCode = 'malformed_message') {
    super(what, message, { origin: 'downstream' });
    this.faultCode = code;
  }
}

/** The upstream reset one stream; gRPC reads a status out of the code. */
export class StreamReset extends MeshError {
  readonly resetCode: number;

  constructor(code: number) {
    super('stream_reset', `upstream reset the stream: ${faultName(code)}`, { origin: 'upstream' });
    this.resetCode = code;
  }
}

/** What went wrong, with the RFC's name for it. */
export function faultText(fault: ConnectionFault): string {
  return `${faultName(fault.faultCode)}: ${fault.message}`;
}

/** The peer did what the protocol does not allow. */
export function breach(message: string): ConnectionFault {
  return new ConnectionFault(faultCode.protocolError, message);
}

/** A frame whose length does not go with its type. */
export function badSize(what: string, length: number): ConnectionFault {
  return new ConnectionFault(faultCode.frameSizeError, `${what} of ${length} bytes`);
}
