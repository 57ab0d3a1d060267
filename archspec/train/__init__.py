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
    from archspec.train.evaluation.inference import evaluate, predict
    from archspec.train.launch import Outcome, fit
    from archspec.train.planning import Plan
    from archspec.train.planning import plan_run as plan
else:
    # Fetched when asked for: reading a recipe needs none of it.
    _ON_DEMAND = {
        "Accuracy": ("evaluation.accuracy", "Accuracy"),
        "Callback": ("callbacks", "Callback"),
        "Outcome": ("launch", "Outcome"),
        "Plan": ("planning", "Plan"),
        "evaluate": ("evaluation.inference", "evaluate"),
        "fit": ("launch", "fit"),
        "plan": ("planning", "plan_run"),
        "predict": ("evaluation.inference", "predict"),
    }

    def __getattr__(name: str) -> typing.Any:
        """Fetch what is offered and not imported yet."""
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _ON_DEMAND[name]
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


__all__ = ["Accuracy", "Callback", "Outcome", "Plan", "evaluate", "fit", "plan", "predict"]
