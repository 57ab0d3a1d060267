"""Train a network of several outputs with a loss of one's own: python examples/two_heads.py

`features` gives the maps of blocks beside the logits. Here a second head reads the first block's
map, and learns with it: deep supervision, as in arXiv 1409.5185.
"""

from archspec import create_model, load_spec
from archspec.runtime import prepare
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import load_epoch
from archspec.train.recipe.recipe import load_recipe

prepare()  # before MindSpore is imported: without it, convolutions are 20 to 80 times slower

import mindspore as ms  # noqa: E402
from mindspore import nn, ops  # noqa: E402

ms.set_context(mode=ms.GRAPH_MODE)  # about seven times as fast as PyNative
ms.set_seed(0)
SHARE = 0.3
"""Of the second head's loss."""


class TwoHeads(nn.Cell):
    """Images (N, C, H, W) and labels (N,) -> the mean loss of both heads, the logits of both."""

    def __init__(self, network, channels, classes):
        super().__init__(auto_prefix=False)  # parameters keep the names that checkpoints have
        self.network = network
        self.early = nn.Dense(channels, classes)
        self.loss_of = nn.CrossEntropyLoss()

    def construct(self, pixels, labels):
        """The features come first, in the order of the spec, then the logits."""
        early_map, logits = self.network(pixels)
        early = self.early(ops.mean(early_map, (2, 3)))
        loss = self.loss_of(logits, labels) + SHARE * self.loss_of(early, labels)
        return loss, logits, early


spec = load_spec("densenetbc_digits", {"block_config": [2, 2], "features": [1]})
recipe = load_recipe("digits")
data = open_data(None).split()
network = create_model(spec)
example = ms.Tensor(next(load_epoch(spec, recipe, data.train, epoch=0))[0])
channels = network(example)[0].shape[1]
heads = TwoHeads(network, channels, spec.head.num_classes)
optimizer = nn.Adam(heads.trainable_params(), learning_rate=0.005)
gradient = ms.value_and_grad(heads, None, optimizer.parameters, has_aux=True)


@ms.jit
def step(pixels, labels):
    """Move the weights once, and return the loss before, and how many each head has right."""
    (loss, logits, early), gradients = gradient(pixels, labels)
    optimizer(gradients)
    right = (ops.sum(ops.cast(ops.argmax(one, 1) == labels, ms.int32)) for one in (logits, early))
    return loss, *right


for epoch in range(2):
    heads.set_train(True)
    losses, logits_right, early_right, images = [], 0, 0, 0
    for pixels, labels in load_epoch(spec, recipe, data.train, epoch=epoch):
        loss, of_logits, of_early = step(ms.Tensor(pixels), ms.Tensor(labels))
        losses.append(float(loss.asnumpy()))
        logits_right += int(of_logits.asnumpy())
        early_right += int(of_early.asnumpy())
        images += len(labels)
    print(
        f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}, right: "
        f"the network's head {logits_right / images:.0%}, the early one {early_right / images:.0%}"
    )
