/** A resource as YAML text, as `heddle pilot get -o yaml` prints it and `apply` reads it back. */
import { stringify } from 'yaml';
import type { Resource } from '../resource/resource.ts';

/** One document, without its `---`. */
export function writeDocument(resource: Resource): string {
  const { apiVersion, kind, metadata, spec } = resource;
  const { name, namespace, labels, annotations } = metadata;
  const shown = {
    name,
    namespace,
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
  };
  return stringify(
    { apiVersion, kind, metadata: shown, spec },
    { aliasDuplicateObjects: false, lineWidth: 0 },
  );
}

/** Several resources as one text of as many documents. */
export function writeDocuments(resources: readonly Resource[]): string {
  return resources.map(writeDocument).join('---\n');
}
