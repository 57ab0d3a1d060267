"""A training loop of one's own around a network of a spec: only the batches are the recipe's.

python examples/custom_loop.py
"""

from archspec import create_model, load_spec
from archspec.runtime import prepare
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import load_epoch
from archspec.train.recipe.recipe import load_recipe

prepare()  # before MindSpore is imported: without it, convolutions are 20 to 80 times slower

import mindspore as ms  # noqa: E402
from mindspore import nn  # noqa: E402

ms.set_context(mode=ms.GRAPH_MODE)  # about seven times as fast as PyNative
ms.set_seed(0)

spec, recipe = load_spec("densenetbc_digits", {"block_config": [2, 2]}), load_recipe("digits")
images = open_data(None).split().train
network = create_model(spec)
loss_of = nn.CrossEntropyLoss()
optimizer = nn.Adam(network.trainable_params(), learning_rate=0.005)


def forward(pixels, labels):
    """Return the mean loss of images (N, C, H, W) and labels (N,)."""
    return loss_of(network(pixels), labels)


gradient = ms.value_and_grad(forward, None, optimizer.parameters)


@ms.jit
def step(pixels, labels):
    """Move the weights once, and return the loss before."""
    loss, gradients = gradient(pixels, labels)
    optimizer(gradients)
    return loss


for epoch in range(2):
    network.set_train(True)
    losses = []
    for pixels, labels in load_epoch(spec, recipe, images, epoch=epoch):
        losses.append(float(step(ms.Tensor(pixels), ms.Tensor(labels)).asnumpy()))
    print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}")
