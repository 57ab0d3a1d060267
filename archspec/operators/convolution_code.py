"""What an emitted module defines for its convolutions: no more than some of them need."""

CONV = '''\
def conv(in_channels, out_channels, kernel_size, stride=1):
    """A convolution without bias, padded so that a stride of 1 keeps H and W."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        pad_mode="pad",
        padding=kernel_size // 2,
        has_bias=False,
    )
'''
CONV_OF_ALL_KINDS = '''\
def conv(
    in_channels,
    out_channels,
    kernel_size,
    stride=1,
    padding=None,
    dilation=1,
    groups=1,
    bias=False,
):
    """A convolution; without `padding`, a stride of 1 keeps H and W."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        pad_mode="pad",
        padding=dilation * (kernel_size - 1) // 2 if padding is None else padding,
        dilation=dilation,
        group=groups,
        has_bias=bias,
    )
'''
CONV_OF_STANDARDIZED_FILTERS = '''\
class StandardizedConv2d(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1 wherever they are used."""

    def __init__(self, *sizes, weight_eps, **settings):
        super().__init__(*sizes, **settings)
        self.weight_eps = weight_eps

    def construct(self, x):
        weight = self.weight - ops.mean(self.weight, (1, 2, 3), True)
        variance = ops.mean(ops.square(weight), (1, 2, 3), True)
        x = self.conv2d(x, weight * ops.rsqrt(variance + self.weight_eps))
        return self.bias_add(x, self.bias) if self.has_bias else x


def conv(
    in_channels,
    out_channels,
    kernel_size,
    stride=1,
    padding=None,
    dilation=1,
    groups=1,
    bias=False,
    weight_eps=None,
):
    """A convolution; without `padding`, a stride of 1 keeps H and W."""
    settings = {
        "stride": stride,
        "pad_mode": "pad",
        "padding": dilation * (kernel_size - 1) // 2 if padding is None else padding,
        "dilation": dilation,
        "group": groups,
        "has_bias": bias,
    }
    sizes = (in_channels, out_channels, kernel_size)
    if weight_eps is None:
        return nn.Conv2d(*sizes, **settings)
    return StandardizedConv2d(*sizes, weight_eps=weight_eps, **settings)
'''
