"""Package metadata. torch, mmcv, mmengine and mmdet are deliberately not pinned here: see README, Install."""

from setuptools import find_packages, setup

setup(
    name='mmnetaug',
    version='0.1.0',
    description='Network Augmentation (NetAug) for tiny object detectors, on MMDetection',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmnetaug', 'mmnetaug.*']),
    package_data={'mmnetaug.workflow': ['Snakefile'], 'mmnetaug.deploy': ['detect.c']},
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
        'figures': ['snakemake>=8; python_version >= "3.11"'],  # which needs that Python itself
    },
)
