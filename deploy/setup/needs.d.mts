interface PackageEntry {
  readonly version?: string;
  readonly optional?: boolean;
}

type PackageTable = Readonly<Record<string, PackageEntry>>;

export const oldestNode: number;

export function debianPackagesFor(
  purpose: string,
): readonly { readonly name: string; readonly files: readonly string[]; readonly why: string }[];

export function differences(
  wanted: PackageTable,
  installed: PackageTable | undefined,
  platform: { readonly os: string; readonly cpu: string },
): string[];

export function nodeProblem(
  answer: string,
  options: { readonly fromPackage: boolean; readonly platform: string },
): string | undefined;
