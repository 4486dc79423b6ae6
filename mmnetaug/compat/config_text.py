"""The text of a config without yapf, which takes most of a second for ours, each time that MMEngine logs or writes one.

Delete when MMEngine's ``Config.pretty_text`` takes some milliseconds.
"""

import ast
from types import ModuleType

WIDTH = 120


def format_configs_quickly(config: ModuleType) -> None:
    """Have MMEngine lay its configs out by :func:`format_code`."""
    config.FormatCode = lambda text, **_: (format_code(text), True)


def format_code(text: str) -> str:
    """Python's text of assignments, with calls, lists and the like of more than a line in a line for each part.

    Raises:
        SyntaxError: the text is no Python.
    """
    return ''.join(f'{_lines(statement, 0, 0)}\n' for statement in ast.parse(text).body)


def _lines(node: ast.AST, indent: int, before: int) -> str:
    """The text of a node behind ``before`` characters of a line that is indented by ``indent``."""
    text = ast.unparse(node)
    if isinstance(node, ast.Assign):
        name = f'{ast.unparse(node.targets[0])} = '
        return name + _lines(node.value, indent, len(name))
    if indent + before + len(text) < WIDTH:  # a comma may follow
        return text
    match node:
        case ast.Call(func=ast.Name(name), args=[], keywords=[_, *_]):
            start, end, parts = f'{name}(', ')', [(f'{each.arg}=', each.value) for each in node.keywords]
        case ast.Call(func=ast.Name(name), args=[ast.Dict() as inner], keywords=[]):  # keys that are no names
            return f'{name}({_lines(inner, indent, before + len(name) + 2)})'
        case ast.Dict(keys=[_, *_]) if None not in node.keys:
            start, end = '{', '}'
            parts = [(f'{ast.unparse(key)}: ', value) for key, value in zip(node.keys, node.values)]
        case ast.List(elts=[_, *_]):
            start, end, parts = '[', ']', [('', value) for value in node.elts]
        case ast.Tuple(elts=[_, *_]):
            start, end, parts = '(', ')', [('', value) for value in node.elts]
        case _:
            return text
    inner = ' ' * (indent + 4)
    below = [f'{inner}{key}{_lines(value, indent + 4, len(key))},\n' for key, value in parts]
    return f'{start}\n{"".join(below)}{" " * indent}{end}'
