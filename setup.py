"""Package metadata. torch, mmcv, mmengine and mmdet are deliberately not pinned here: see README, Install."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Configs and tools travel in ``mmnetaug/.mim``, as MMDetection does it; an editable install has the clone's."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for folder in ('configs', 'tools'):
                target = Path(self.build_lib, 'mmnetaug', '.mim', folder)
                shutil.rmtree(target, ignore_errors=True)  # of an earlier build
                shutil.copytree(folder, target, ignore=shutil.ignore_patterns('__pycache__'))


setup(
    name='mmnetaug',
    version=re.search("__version__ = '(.+)'", Path('mmnetaug/__init__.py').read_text(encoding='utf-8'))[1],
    description='Network Augmentation (NetAug) for tiny object detectors, on MMDetection',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmnetaug', 'mmnetaug.*']),
    # An editable install then puts the clone on Python's path. With a finder, which setuptools would use otherwise, the
    # clone's folder hides the package from a program in the folder above, where it is named mmnetaug.
    package_dir={'': '.'},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['mmnetaug = mmnetaug.cli.run:main']},
    package_data={'mmnetaug': ['py.typed'], 'mmnetaug.workflow': ['Snakefile'], 'mmnetaug.deploy': ['detect.c']},
    # mmcv comes as mmcv, mmcv-lite or onedl-mmcv and mmdet as mmdet or onedl-mmdetection: naming one of
    # them here would replace what another environment already has. requirements.txt installs a working set.
    install_requires=[
        'torch>=2.6',
        'numpy',
        'scipy',
        'pycocotools>=2.0.7',
        'matplotlib',
        'tensorboard',
        'h5py',
        'safetensors',
    ],
    extras_require={
        'dev': ['pytest', 'pytest-xdist', 'hypothesis', 'ruff', 'keras'],
        'export': ['onnx>=1.17', 'onnxscript>=0.5', 'onnxruntime>=1.20'],
        # tflite-micro has nightly builds alone
        'tflite': [
            *('litert-torch==0.10.0', 'ai-edge-quantizer==0.10.0', 'ai-edge-litert==2.3.0'),
            'tflite-micro==0.dev20261023182759',
        ],
        'fast': ['faster-coco-eval>=1.6'],  # COCO's measures in C++
        'figures': ['snakemake>=8.20; python_version >= "3.11"', 'platformdirs'],  # which needs that Python itself
    },
)
