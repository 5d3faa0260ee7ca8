/** Help that suffices: every command says what it is for, what each option does, and shows an example. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Command } from 'commander';
import { helpStyle } from '../../../bin/help-style.ts';
import { agentCommands } from '../../../node-agent/main.ts';
import { pilotCommands } from '../../../pilot/main.ts';
import { sidecarCommands } from '../../../sidecar/main.ts';

const root = new Command('heddle').configureHelp(helpStyle);
for (const register of [sidecarCommands, agentCommands, pilotCommands]) register(root);

function below(command: Command): Command[] {
  const visible = command.createHelp().visibleCommands(command);
  return visible.filter((one) => one.name() !== 'help').flatMap((one) => [one, ...below(one)]);
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

describe('--help', () => {
  const commands = below(root);

  it('is there for every command', () => {
    assert.ok(commands.length > 12, `only ${commands.length} commands`);
  });

  for (const command of commands) {
    it(`of ${nameOf(command)} says what it is for, explains every option and has an example`, () => {
      assert.notEqual(command.description(), '');
      for (const option of command.options) assert.ok(option.description.length > 0, option.flags);
      const help = helpOf(command);
      assert.match(help, /\nExamples?:\n {2}heddle /);
      // Defaults are shown as they are typed, and only where they say something.
      assert.doesNotMatch(help, /default: (?:[[{"]|false)/);
    });
  }
});
