/** The catalogue as a program: `PORT`, and `INSTANCE` for what it calls itself in answers. */
import { join } from 'node:path';
import { serveUntilTold } from '../http.ts';
import { portSetting } from '../settings.ts';
import { createCatalogueServer, openCatalogue } from './catalogue.ts';

const catalogue = openCatalogue(join(import.meta.dirname, 'products.csv'));
const instance = process.env['INSTANCE'] ?? `catalogue-${process.pid}`;
serveUntilTold(createCatalogueServer(catalogue, instance), 'catalogue', portSetting('PORT'));
