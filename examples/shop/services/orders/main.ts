/** The order service as a program: `PORT`, `CATALOGUE_URL`, `PRICING_ADDRESS`, and `ORDERS_FILE` to keep. */
import { serveUntilTold } from '../http.ts';
import { createPricingClient } from '../pricing/protocol.ts';
import { portSetting, setting } from '../settings.ts';
import { createOrderServer, openOrderBook } from './orders.ts';

const pricing = createPricingClient(setting('PRICING_ADDRESS'));
const server = createOrderServer({
  book: openOrderBook(process.env['ORDERS_FILE'] ?? ':memory:'),
  catalogueUrl: setting('CATALOGUE_URL'),
  pricing,
});
server.once('close', () => pricing.close());
serveUntilTold(server, 'orders', portSetting('PORT'));
