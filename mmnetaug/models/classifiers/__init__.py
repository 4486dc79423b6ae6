"""Image classifiers, for pretraining."""

from mmnetaug.models.classifiers.classifier import Classifier

__all__ = ['Classifier']
