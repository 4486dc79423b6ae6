"""Classification accuracy."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmnetaug.registry import METRICS


@METRICS.register_module()
class TopK(BaseMetric):
    """Share of images, in percent, whose label is among the k highest logits: ``top1``, ``top5``.

    Args:
        topk: the k to report. One larger than the number of classes is left out.
    """

    default_prefix = ''  # MMEngine warns of None

    def __init__(self, topk: Sequence[int] = (1, 5), **options: Any):
        super().__init__(**options)
        self.topk = topk

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the rank of the label of each sample's ``logits`` (num_classes,) and ``label`` ()."""
        logits = torch.stack([sample['logits'] for sample in data_samples])
        labels = torch.stack([sample['label'] for sample in data_samples]).to(logits.device)
        # Ties and NaN count against the network, so that constant or broken logits score nothing.
        ranks = (~(logits < logits.gather(1, labels[:, None]))).sum(1)
        # one wait for the device a batch, not one an image
        self.results.extend((rank, logits.shape[1]) for rank in ranks.tolist())

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Top-k accuracies in percent."""
        ranks = torch.tensor([rank for rank, _ in results])
        num_classes = results[0][1]
        return {f'top{k}': 100 * (ranks <= k).double().mean().item() for k in self.topk if k < num_classes or k == 1}
