/** The pricing service's messages, its definition read from the .proto file, and a client. */
import { join } from 'node:path';
import {
  type Client,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface QuoteRequest {
  readonly sku: string;
  readonly quantity: number;
}

export interface WatchRequest {
  readonly sku: string;
  /** How many replies; 0 is until cancelled. */
  readonly count: number;
  readonly intervalMs: number;
}

export interface QuoteReply {
  readonly sku: string;
  readonly quantity: number;
  readonly totalCents: number;
  readonly version: string;
}

export interface PricingClient {
  /** Rejects with the service's gRPC error. */
  quote(sku: string, quantity: number): Promise<QuoteReply>;
  watch(request: WatchRequest): ClientReadableStream<QuoteReply>;
  close(): void;
}

const path = 'shop.pricing.v1.Pricing';
const deadlineMs = 5_000;
const definitions = loadSync(join(import.meta.dirname, 'pricing.proto'), { longs: Number, defaults: true });

export const pricingDefinition = definitions[path] as ServiceDefinition;

/** `address` is HOST:PORT. */
export function createPricingClient(address: string): PricingClient {
  const shop = loadPackageDefinition(definitions)['shop'] as {
    pricing: { v1: { Pricing: ServiceClientConstructor } };
  };
  const client = new shop.pricing.v1.Pricing(address, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
  }) as unknown as Client & PricingStub;
  return {
    quote: (sku, quantity) =>
      new Promise((resolve, reject) => {
        client.Quote({ sku, quantity }, { deadline: Date.now() + deadlineMs }, (failure, reply) => {
          if (failure !== null) reject(failure);
          else resolve(reply);
        });
      }),
    watch: (request) => client.Watch(request),
    close: () => client.close(),
  };
}

interface PricingStub {
  Quote(
    request: QuoteRequest,
    options: { deadline: number },
    done: (failure: Error | null, reply: QuoteReply) => void,
  ): void;
  Watch(request: WatchRequest): ClientReadableStream<QuoteReply>;
}
