/**
 * The last good configuration of every sidecar as one file: frames, each with a kind before its message. All that a
 * start without a pilot needs, and nothing that a sidecar has not confirmed.
 *
 *   'r' ConfigResponse (a part, an endpoint set, a manifest) · 's' Subscribe, of the manifest that follows
 */
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { decodeConfigRequest, encodeConfigRequest } from '../../proto/config-request.ts';
import { decodeConfigResponse, encodeConfigResponse } from '../../proto/config-response.ts';
import type { ConfigResponse, Subscribe } from '../../proto/config-wire.ts';
import { encodeFrame, FrameReader } from '../../proto/frame.ts';
import type { ConfigHub } from './hub.ts';

const responseKind = 'r'.charCodeAt(0);
const subscribeKind = 's'.charCodeAt(0);

/** What the hub's sidecars run now, as bytes. */
export function encodeConfig(hub: ConfigHub): Buffer {
  const frames: Buffer[] = [];
  const response = (message: ConfigResponse) =>
    frames.push(frame(responseKind, encodeConfigResponse(message)));
  const parts = new Set<string>();
  const clusters = new Set<string>();
  for (const { subscription, good } of hub.saved()) {
    for (const part of hub.cache.partsOf(good)) {
      if (!parts.has(part.hash)) response({ kind: 'parts', parts: [part] });
      parts.add(part.hash);
    }
    for (const set of hub.cache.setsOf(good)) {
      if (!clusters.has(set.cluster)) {
        response({ kind: 'endpoints', push: 0, update: { sets: [set], deltas: [] } });
      }
      clusters.add(set.cluster);
    }
    frames.push(frame(subscribeKind, encodeConfigRequest(subscription)));
    response({ kind: 'manifest', sidecar: subscription.sidecar, push: 0, manifest: good });
  }
  return Buffer.concat(frames);
}

/** Takes up what `encodeConfig` wrote; what cannot be read is said in the log and left out. */
export function restoreConfig(hub: ConfigHub, bytes: Uint8Array, log: Log): void {
  let subscription: Subscribe | undefined;
  try {
    for (const record of new FrameReader().push(bytes)) {
      if (record[0] === subscribeKind) {
        const request = decodeConfigRequest(record.subarray(1));
        subscription = request.kind === 'subscribe' ? request : undefined;
        continue;
      }
      const response = decodeConfigResponse(record.subarray(1));
      if (response.kind === 'parts') hub.cache.addParts(response.parts);
      else if (response.kind === 'endpoints') hub.cache.update(response.update);
      else if (response.kind === 'manifest' && subscription?.sidecar === response.sidecar) {
        hub.restore({ subscription, good: response.manifest });
      }
    }
  } catch (error) {
    log.error('saved configuration not readable to its end', { reason: messageOf(error) });
  }
}

function frame(kind: number, message: Uint8Array): Buffer {
  return encodeFrame(Buffer.concat([Buffer.of(kind), message]));
}
