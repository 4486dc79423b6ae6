"""Write docs/commands.md out of the parsers of the commands: `python docs/write_commands.py`."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mmnetaug.cli.run import COMMANDS  # noqa: E402

HEAD = """# Commands

<!-- Written by `python docs/write_commands.py` from the commands' parsers; a test holds it to them. -->

`mmnetaug COMMAND --help` says the same. `python tools/X.py` goes on working, with the same options.
"""


def reference() -> str:
    """The page, in Markdown."""
    rows = [f'| [`{name}`](#mmnetaug-{name}) | {purpose} |' for name, purpose in COMMANDS.items()]
    parts = [HEAD, '\n'.join(['| command | what it does |', '|---|---|', *rows]) + '\n']
    for name in COMMANDS:
        module = import_module(f'mmnetaug.cli.{name.replace("-", "_")}')
        parts += describe(f'mmnetaug {name}', module.parser(f'mmnetaug {name}'), '##')
    return '\n'.join(parts)


def describe(title: str, parser: argparse.ArgumentParser, level: str) -> list[str]:
    """A heading, what the command is for, a table of its arguments, and the same of its own commands."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    actions = [
        action
        for action in parser._actions
        if action not in groups and action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)
    ]
    parts = [f'{level} {title}\n', f'{sentence(parser.description or "")}\n']
    if actions:
        rows = [f'| {usage(action)} | {text(parser, action)} |' for action in actions]
        parts.append('\n'.join(['| argument | what it says |', '|---|---|', *rows]) + '\n')
    for group in groups:
        for name, its_parser in group.choices.items():
            parts += describe(f'{title} {name}', its_parser, f'{level}#')
    return parts


def usage(action: argparse.Action) -> str:
    """How an argument is typed, such as `--size PIXELS ...`."""
    value = action.metavar or ('|'.join(map(str, action.choices)) if action.choices else None)
    if isinstance(value, tuple):
        value = ' '.join(value)
    if not action.option_strings:
        return code(value or action.dest.upper())
    if action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction):
        value = value or action.dest.upper()
        value = {'?': f'[{value}]', '+': f'{value} ...', '*': f'[{value} ...]'}.get(action.nargs, value)
        return code(f'{", ".join(action.option_strings)} {value}')
    return code(', '.join(action.option_strings))


def code(words: str) -> str:
    return f'`{words}`'.replace('|', '\\|')


def text(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    help_text = parser._get_formatter()._expand_help(action) if action.help else ''
    return ' '.join(help_text.split()).replace('|', '\\|').replace('<', '&lt;')


def sentence(words: str) -> str:
    return ' '.join(words.split()).replace('<', '&lt;')


if __name__ == '__main__':
    (ROOT / 'docs' / 'commands.md').write_text(reference(), encoding='utf-8')
