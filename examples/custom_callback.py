"""A callback of one's own: end a run once it is good enough, and keep the loss of every step.

python examples/custom_callback.py
"""

from archspec import train


class GoodEnough(train.Callback):
    """Ends the run after the first epoch that is right on so large a share of the images."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.losses: list[float] = []

    def on_step_end(self, training, loss) -> None:
        """Read the loss, which waits for the device: fine on a CPU, costly on an accelerator."""
        self.losses.append(float(loss.asnumpy()))

    def on_epoch_end(self, training, figures) -> None:
        """The validation of the epoch is in the figures."""
        if figures["val_top1"] >= self.share:
            training.stop()


watch = GoodEnough(share=0.5)
plan = train.plan("densenetbc_digits", spec_overrides=["block_config=[2, 2]"])
outcome = train.fit(plan, callbacks=[watch])
first, last = watch.losses[0], watch.losses[-1]
print(f"{len(watch.losses)} steps, the loss fell from {first:.2f} to {last:.2f}")
print(f"right on {outcome.accuracy.top1:.1%}; the run: {outcome.run.path}")
