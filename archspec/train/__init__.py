"""Training: recipes, runs, and what is done with a trained network.

>>> from archspec import train
>>> plan = train.plan("densenet121", data_dir=Path("photos"))
>>> outcome = train.fit(plan)
>>> train.evaluate(outcome.run, Path("other_photos")).top1
>>> train.predict(outcome.run, [Path("hat.jpg")])
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from archspec.train.callbacks import Callback
    from archspec.train.evaluation.accuracy import Accuracy
    from archspec.train.evaluation.evaluation import Evaluation
    from archspec.train.evaluation.label_accuracy import LabelAccuracy
    from archspec.train.evaluation.pixel_accuracy import PixelAccuracy
    from archspec.train.inference.evaluate import evaluate, examine
    from archspec.train.inference.open_trained import open_trained
    from archspec.train.inference.predict import predict
    from archspec.train.inference.predict_masks import predict_masks
    from archspec.train.launch import Outcome, fit
    from archspec.train.planning import Plan
    from archspec.train.planning import plan_run as plan
else:
    # Fetched when asked for: reading a recipe needs none of it.
    _ON_DEMAND = {
        "Accuracy": ("evaluation.accuracy", "Accuracy"),
        "Callback": ("callbacks", "Callback"),
        "Evaluation": ("evaluation.evaluation", "Evaluation"),
        "LabelAccuracy": ("evaluation.label_accuracy", "LabelAccuracy"),
        "Outcome": ("launch", "Outcome"),
        "PixelAccuracy": ("evaluation.pixel_accuracy", "PixelAccuracy"),
        "Plan": ("planning", "Plan"),
        "evaluate": ("inference.evaluate", "evaluate"),
        "examine": ("inference.evaluate", "examine"),
        "fit": ("launch", "fit"),
        "open_trained": ("inference.open_trained", "open_trained"),
        "plan": ("planning", "plan_run"),
        "predict": ("inference.predict", "predict"),
        "predict_masks": ("inference.predict_masks", "predict_masks"),
    }

    def __getattr__(name: str) -> typing.Any:
        """Fetch what is offered and not imported yet."""
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _ON_DEMAND[name]
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


__all__ = [
    "Accuracy",
    "Callback",
    "Evaluation",
    "LabelAccuracy",
    "Outcome",
    "PixelAccuracy",
    "Plan",
    "evaluate",
    "examine",
    "fit",
    "open_trained",
    "plan",
    "predict",
    "predict_masks",
]
