"""MMEngine's inferencers, and so MMDetection's, with a config whose ``collate_fn`` is a dict.

Its runner takes a ``collate_fn`` as a dict alone, its inferencers as a text alone, and ends with a ``TypeError`` on a
dict (``BaseInferencer._init_collate`` of mmengine 0.10.7).

Delete when ``_init_collate`` takes what ``Runner.build_dataloader`` takes.
"""

from functools import partial, wraps
from types import ModuleType
from typing import Any


def take_functions_as_runners_do(infer: ModuleType) -> None:
    """Have inferencers build the ``collate_fn`` of a config's ``test_dataloader``; by the module
    ``mmengine.infer.infer``."""
    BaseInferencer = infer.BaseInferencer
    unpatched = BaseInferencer._init_collate

    @wraps(unpatched)
    def init_collate(self: Any, cfg: Any) -> Any:
        given = (cfg.get('test_dataloader') or {}).get('collate_fn')
        if not isinstance(given, dict):
            return unpatched(self, cfg)
        arguments = {key: value for key, value in given.items() if key != 'type'}
        kind = given['type']
        if isinstance(kind, str):
            with infer.FUNCTIONS.switch_scope_and_registry(self.scope) as registry:
                kind = registry.get(kind)
        return partial(kind, **arguments)

    BaseInferencer._init_collate = init_collate
