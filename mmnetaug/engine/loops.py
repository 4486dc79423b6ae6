"""Training that goes on from the middle of an epoch."""

from mmengine.runner import EpochBasedTrainLoop

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

    def run_epoch(self) -> None:
        """Iterate what is left of an epoch."""
        done, sampler = self.done, self.dataloader.sampler
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
