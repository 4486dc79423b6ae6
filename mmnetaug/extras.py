"""Packages that only some commands need."""

from importlib import import_module
from types import ModuleType

from mmnetaug.errors import InputError

FORMATS = ('onnx', 'tflite')
# Package -> which of the extras of setup.py brings it.
EXTRAS = {
    **dict.fromkeys(['onnx', 'onnxscript', 'onnxruntime'], 'export'),
    **dict.fromkeys(['litert_torch', 'ai_edge_quantizer', 'ai_edge_litert', 'tflite_micro'], 'tflite'),
    'faster_coco_eval': 'fast',
}


def need(*names: str) -> ModuleType:
    """The first of these packages, all of which are needed.

    Raises:
        InputError: one is not installed.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(
                f"{name} is missing ({error}): pip install 'mmnetaug[{EXTRAS[name]}]', or in a clone pip install -e "
                f"'.[{EXTRAS[name]}]'"
            ) from error
    return import_module(names[0])
