/** The visitors as a program: `PORT` for its counts, `WEB_URL`, and `VISITS_PER_SECOND`, 10 by default. */
import { serveUntilTold } from '../http.ts';
import { portSetting, setting } from '../settings.ts';
import { createCountsServer, startVisitors } from './visitors.ts';

const visitors = startVisitors(setting('WEB_URL'), Number(process.env['VISITS_PER_SECOND'] ?? 10));
const server = createCountsServer(visitors.counts);
serveUntilTold(server, 'visitors', portSetting('PORT'));
process.once('SIGTERM', () => visitors.stop());
