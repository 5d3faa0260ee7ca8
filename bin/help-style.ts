/** How `--help` of every command reads: defaults as they would be typed, and none where nothing is the default. */
import type { HelpConfiguration, Option } from 'commander';

export const helpStyle: HelpConfiguration = {
  showGlobalOptions: false,
  optionDescription(option) {
    const notes = [
      ...(option.argChoices === undefined ? [] : [`one of ${option.argChoices.join(', ')}`]),
      ...noteOf('default', defaultOf(option)),
      ...noteOf('alone', textOf(option.presetArg)),
    ];
    return notes.length === 0 ? option.description : `${option.description} (${notes.join('; ')})`;
  },
};

function noteOf(name: string, text: string): string[] {
  return text === '' ? [] : [`${name}: ${text}`];
}

function defaultOf(option: Option): string {
  const takesValue = option.required || option.optional;
  return takesValue ? (option.defaultValueDescription ?? textOf(option.defaultValue)) : '';
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ');
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
