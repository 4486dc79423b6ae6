"""Training that goes on from the middle of an epoch, and validation without normalisation."""

from typing import Any

from mmengine.runner import EpochBasedTrainLoop, ValLoop
from torch import nn

from mmnetaug.engine.runner import bare_model, give_back
from mmnetaug.errors import InputError
from mmnetaug.models.fusion import fused
from mmnetaug.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's ``EpochBasedTrainLoop``, which a resumed run enters where it was left, not at the start of its epoch.

    The sampler of the training loader must be able to skip samples (``ResumableSampler``); with another one an epoch
    begins anew.
    """

    @property
    def done(self) -> int:
        """Iterations of the current epoch that are done."""
        return self._iter - self._epoch * len(self.dataloader)

    def run(self) -> nn.Module:
        """Train; the model."""
        try:
            return super().run()
        finally:
            give_back(self.runner)

    def run_epoch(self) -> None:
        """Iterate what is left of an epoch."""
        done, sampler = self.done, self.dataloader.sampler
        if not 0 <= done < len(self.dataloader):
            raise InputError(
                f'{self._iter} iterations are not {self._epoch} epochs of {len(self.dataloader)} and part of another: '
                'resume with as many processes and images, and the batch size, that the run was started with'
            )
        if hasattr(sampler, 'skip'):
            sampler.skip = done * self.dataloader.batch_size
        else:
            self._iter -= done
            done = 0
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader, start=done):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class FusedValLoop(ValLoop):
    """MMEngine's ``ValLoop`` on a copy of the model, :func:`~mmnetaug.models.fusion.fused`: the model that is trained
    stays as it is."""

    copy: nn.Module | None = None

    def run(self) -> dict[str, float]:
        """Validate; the measures."""
        try:
            return super().run()
        finally:
            self.copy = None

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Predict for a batch and count it."""
        if self.copy is None:  # after the hooks that change weights for validation
            self.copy = fused(bare_model(self.runner))
        trained, self.runner.model = self.runner.model, self.copy
        try:
            super().run_iter(idx, data_batch)
        finally:
            self.runner.model = trained
