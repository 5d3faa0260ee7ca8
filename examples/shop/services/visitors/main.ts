/** The visitors as a program: `PORT` for its counts, `WEB_URL`, and `VISITS_PER_SECOND`, 10 by default. */
import { serveUntilTold } from '../http.ts';
import { portSetting, setting } from '../settings.ts';
import { createCountsServer, startVisitors, type Visitors, whenOpen } from './visitors.ts';

const webUrl = setting('WEB_URL');
const perSecond = Number(process.env['VISITS_PER_SECOND'] ?? 10);
let visitors: Visitors | undefined;
const server = createCountsServer(() => visitors?.counts);
serveUntilTold(server, 'visitors', portSetting('PORT'));
process.once('SIGTERM', () => {
  // Before the front has opened there is nothing to end but the wait for it.
  if (visitors === undefined) process.exit(0);
  visitors.stop();
});

await whenOpen(webUrl);
visitors = startVisitors(webUrl, perSecond);
