"""A run on the screen: while it trains, when it ends, and how to go on where it was stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from archspec.errors import ArchspecError, EnvironmentFault, format_count
from archspec.shell_words import quote_word
from archspec.signals import raise_for_signal, take_signals
from densenet_cli.options import console, quiet_screen
from densenet_cli.profile import show_profile
from densenet_cli.ssh import tell_begin
from densenet_cli.this_machine import place_of

if TYPE_CHECKING:
    from archspec.train.distributed.nodes import Node
    from archspec.train.faults.restarts import FaultPolicy
    from archspec.train.launch import Outcome
    from archspec.train.monitoring.progress import Event

NO_CURE = {"T006", "T016", "T017", "T018"}
"""Faults that a run, whose spec and recipe are fixed, meets again when it goes on,
or that say themselves how it can."""
ENDS = {
    "early_stopping": "Ended early: for as long as early_stopping says, no epoch was better.",
    "time_budget": "Ended early: time_budget is over. With a larger one in the run's recipe.yaml, "
    "--resume RUN --accept-changes goes on at this step.",
    "on_request": "Ended early, as was asked for; --resume RUN goes on at this step.",
}
"""Why a run ended before its last epoch, and how it could go on."""


def train_on_screen(
    run: Any,
    splits: Any,
    profile: bool,
    *,
    is_new: bool,
    faults: FaultPolicy,
    node: Node | None = None,
) -> None:
    """Train in a run's directory, and show how it goes and how it ends.

    Raises:
        ArchspecError: see `archspec.train.fit`; before it is raised, how to go on is said.
        typer.Exit: the run was interrupted, and how to go on is said.
    """
    from archspec.train.launch import fit
    from archspec.train.monitoring.display import Display
    from archspec.train.monitoring.operator_times import OperatorTimes

    path = quote_word(str(run.path))
    resume = f"densenet train --resume {path}{place_of(node)}"
    take_signals(raise_for_signal)
    try:
        with quiet_screen(run.log) as screen, Display(screen, run.log) as display:
            times = OperatorTimes(lambda found: show_profile(found, run.path, screen))
            looking_on = [times] if profile else []

            def show(event: Event) -> None:
                tell_begin(screen.out)
                display.show(event)

            try:
                outcome = fit(
                    run,
                    show=show,
                    splits=splits,
                    callbacks=looking_on,
                    faults=faults,
                    node=node,
                )
            finally:
                times.leave()  # else MindSpore does it at the exit, with words of its own
    except (KeyboardInterrupt, SystemExit) as stop:  # see `signals.exception_of`
        console.out(f"\nInterrupted. Go on with: {resume}")
        raise typer.Exit(int(stop.code or 0) if isinstance(stop, SystemExit) else 130) from None
    except ArchspecError as error:
        _help_after_fault(run, error, resume, is_new)
        raise
    if profile and not times.is_done:
        console.out("Nothing was profiled: too few steps were left behind those that compile.")
    _tell_outcome(outcome)
    console.out(f"Next: densenet validate {path}")


def _tell_outcome(outcome: Outcome) -> None:
    from archspec.train.evaluation.measures import share_of

    if outcome.ends_by:
        console.out(ENDS[outcome.ends_by])
    images = format_count(outcome.accuracy.images, "validation image")
    if outcome.part == "test":
        images = format_count(outcome.accuracy.images, "image")
        images += " that played no part in training or choosing"
    averaged = ""
    if outcome.averaged is not None:
        averaged = f", its averaged weights (--ema) on {share_of(outcome.averaged):.2%}"
    judged, accuracy = _name_judged(outcome.checkpoint), outcome.accuracy
    verdict = accuracy.verdict.format(share_of(accuracy))
    console.out(f"{judged} {verdict} {images}{averaged}. Run: {outcome.run.path}")


def _name_judged(checkpoint: str | None) -> str:
    if checkpoint == "best.ckpt":
        return "The best checkpoint"
    if checkpoint is None:
        return "No checkpoint is left whole. The network as it was trained"
    return f"best.ckpt is gone or damaged. {checkpoint}"


def _help_after_fault(run: Any, error: ArchspecError, resume: str, is_new: bool) -> None:
    """Say how to go on where that can succeed;
    a run that the machine did not let begin leaves nothing.
    """
    from archspec.train.run.run_directory import discard_run

    codes = {diagnostic.code for diagnostic in error.diagnostics}
    has_begun = not is_new or (run.metrics.exists() and run.metrics.stat().st_size > 0)
    if not has_begun and (isinstance(error, EnvironmentFault) or "T002" in codes):
        discard_run(run)
    elif not NO_CURE & codes:
        typer.echo(f"Stopped. After mending what follows, go on with: {resume}", err=True)
