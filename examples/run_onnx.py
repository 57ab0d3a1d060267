"""Run an exported network without this package: python examples/run_onnx.py MODEL.onnx IMAGE ...

It takes onnxruntime, NumPy and Pillow. How images are prepared stands in the file; this is what
`densenet predict` does for `resize: pillow`, the usual one.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

TOLD = ("classes", "mean", "std", "interpolation", "crop_pct")


def prepare(path, height, width, told):
    """Return an image as the network reads it, (1, C, H, W)."""
    image = Image.open(path).convert("L" if len(told["mean"]) == 1 else "RGB")
    box = (0, 0, *image.size)
    if told["crop_pct"]:
        # The middle of the image whose shorter side is resized to size / crop_pct.
        shorter = int(max(height, width) / told["crop_pct"])
        resized = [shorter * side // min(image.size) for side in image.size]
        step_x, step_y = image.width / resized[0], image.height / resized[1]
        left, top = (
            round((resized[0] - width) / 2) * step_x,
            round((resized[1] - height) / 2) * step_y,
        )
        right, bottom = left + width * step_x, top + height * step_y
        box = left, top, min(right, image.width), min(bottom, image.height)
    how = Image.Resampling[told["interpolation"].upper()]
    pixels = np.asarray(image.resize((width, height), how, box), np.float32)
    pixels = pixels.reshape(height, width, len(told["mean"]))
    values = (pixels - told["mean"]) / told["std"]
    return values.transpose(2, 0, 1)[None].astype(np.float32)


def open_session(model):
    """Return what runs a file, or end with one line that says why nothing does."""
    try:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0]
    if "bfloat16" in reason or "NOT_IMPLEMENTED" in reason:
        sys.exit(
            f"{model}: ONNX Runtime has no bfloat16 on CPUs, OpenVINO has: densenet predict "
            f"{model} IMAGE --engine openvino; or export with --precision float16"
        )
    sys.exit(f"{model}: {reason}")


def main(model, paths):
    """Print the likeliest class of each image."""
    session = open_session(model)
    texts = session.get_modelmeta().custom_metadata_map
    told = {key: json.loads(texts[key]) for key in TOLD}
    (images,) = session.get_inputs()
    if images.type != "tensor(float)":
        sys.exit(f"{model} prepares images itself (--with-preprocess): give it their pixels")
    height, width = images.shape[2:]
    for path in paths:
        (logits,) = session.run(None, {images.name: prepare(path, height, width, told)})
        shares = np.exp(logits[0] - logits[0].max())
        shares /= shares.sum()
        best = int(shares.argmax())
        print(f"{path}: {told['classes'][best]} {shares[best]:.1%}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
