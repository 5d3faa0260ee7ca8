/** The pricing service as a program: `PORT`, and `PRICING_VERSION`, v1 or v2. */
import { ServerCredentials } from '@grpc/grpc-js';
import { portSetting, setting } from '../settings.ts';
import { createPricingServer } from './pricing.ts';

const version = setting('PRICING_VERSION') === 'v2' ? 'v2' : 'v1';
const server = createPricingServer(version);
server.bindAsync(`127.0.0.1:${portSetting('PORT')}`, ServerCredentials.createInsecure(), (failure, port) => {
  if (failure !== null) {
    process.stderr.write(`cannot listen: ${failure.message}\n`);
    process.exit(1);
  }
  process.stdout.write(`pricing ${version} listens on ${port}\n`);
});
process.once('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
