/** The front as a program: `PORT`, `CATALOGUE_URL`, `ORDERS_URL`, `PRICING_ADDRESS`. */
import { serveUntilTold } from '../http.ts';
import { createPricingClient } from '../pricing/protocol.ts';
import { portSetting, setting } from '../settings.ts';
import { createWebServer } from './web.ts';

const pricing = createPricingClient(setting('PRICING_ADDRESS'));
const server = createWebServer({
  catalogueUrl: setting('CATALOGUE_URL'),
  ordersUrl: setting('ORDERS_URL'),
  pricing,
});
server.once('close', () => pricing.close());
serveUntilTold(server, 'web', portSetting('PORT'));
