"""Which part of the package may know which: arrows run from the tools down, never back."""

import ast

import pytest
from helpers import ROOT

PACKAGE = ROOT / 'mmnetaug'
# Part -> parts that it must not import.
FORBIDDEN = {
    'models': ('apis', 'checkpoint', 'datasets', 'engine', 'evaluation', 'visualization', 'workflow'),
    'datasets': ('apis', 'checkpoint', 'engine', 'evaluation', 'models', 'visualization', 'workflow'),
    'evaluation': ('apis', 'checkpoint', 'engine', 'visualization', 'workflow'),
    'engine': ('apis', 'workflow'),  # its hooks draw what they see
    'visualization': ('apis', 'checkpoint', 'datasets', 'engine', 'models', 'workflow'),
    'deploy': ('apis', 'checkpoint', 'engine', 'evaluation', 'visualization', 'workflow'),
    'apis': ('workflow',),
    'compat': ('apis', 'datasets', 'engine', 'evaluation', 'models', 'visualization', 'workflow'),
}


def imported(path):
    """Parts of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ''] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split('.')[1] for name in names if name.startswith('mmnetaug.'))
        if isinstance(node, ast.ImportFrom) and node.module == 'mmnetaug':
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize('part', FORBIDDEN)
def test_no_arrow_back(part):
    files = list((PACKAGE / part).rglob('*.py'))
    assert files
    found = {(path.name, name) for path in files for name in imported(path) if name in FORBIDDEN[part]}
    assert not found


def test_models_read_no_files():
    for path in (PACKAGE / 'models').rglob('*.py'):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {'open', 'Path'}, path
