/** A gRPC service, unary and server streaming, in two versions: v2 gives a tenth off from five pieces on. */
import { type handleServerStreamingCall, type handleUnaryCall, Server, status } from '@grpc/grpc-js';
import { pricingDefinition, type QuoteReply, type QuoteRequest, type WatchRequest } from './protocol.ts';

export type PricingVersion = 'v1' | 'v2';

const centsPerGram: Readonly<Record<string, number>> = {
  WOOL: 14,
  LINEN: 9,
  SILK: 31,
  COTTON: 6,
  HEMP: 8,
  ALPACA: 22,
  MOHAIR: 24,
  TENCEL: 12,
  BAMBOO: 11,
  RAMIE: 13,
  CASHM: 48,
  JUTE: 3,
};
const bulkFrom = 5;
const bulkPercent = 90;
const shortestIntervalMs = 10;
const longestIntervalMs = 60_000;

/** The total in cents, or undefined for what is not sold. */
export function priceOf(version: PricingVersion, sku: string, quantity: number): number | undefined {
  const [material = '', , grams = ''] = sku.split('-');
  const perGram = centsPerGram[material];
  const total = perGram === undefined ? Number.NaN : perGram * Number(grams) * quantity;
  if (!Number.isInteger(total) || quantity < 1) return undefined;
  return version === 'v2' && quantity >= bulkFrom ? Math.round((total * bulkPercent) / 100) : total;
}

export function createPricingServer(version: PricingVersion): Server {
  const replyTo = (sku: string, quantity: number): QuoteReply | undefined => {
    const totalCents = priceOf(version, sku, quantity);
    return totalCents === undefined ? undefined : { sku, quantity, totalCents, version };
  };

  const quote: handleUnaryCall<QuoteRequest, QuoteReply> = (call, done) => {
    const reply = replyTo(call.request.sku, call.request.quantity || 1);
    if (reply === undefined) done(notSold(call.request.sku));
    else done(null, reply);
  };

  const watch: handleServerStreamingCall<WatchRequest, QuoteReply> = (call) => {
    const { sku, count, intervalMs } = call.request;
    const reply = replyTo(sku, 1);
    if (reply === undefined) {
      call.emit('error', notSold(sku));
      return;
    }
    let sent = 0;
    const send = () => {
      call.write(reply);
      sent++;
      if (sent !== count) return;
      clearInterval(timer);
      call.end();
    };
    const timer = setInterval(send, Math.min(Math.max(intervalMs, shortestIntervalMs), longestIntervalMs));
    call.once('cancelled', () => clearInterval(timer));
    send();
  };

  const server = new Server();
  server.addService(pricingDefinition, { Quote: quote, Watch: watch });
  return server;
}

function notSold(sku: string) {
  return { code: status.NOT_FOUND, details: `no price for '${sku}'` };
}
