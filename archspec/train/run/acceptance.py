"""A run goes on with a spec or a recipe that was edited: checked and certified as at its start."""

from __future__ import annotations

import json
from dataclasses import replace

from archspec.certify.built_network import certify_built
from archspec.errors import TrainingError
from archspec.files import write_atomic
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.graph.parameters import list_parameters
from archspec.graph.parts import list_parts
from archspec.runtime import prepare
from archspec.train.data.inputs import make_preprocess, open_splits
from archspec.train.data.sources.data_parts import Splits
from archspec.train.engine.parameter_groups import find_frozen
from archspec.train.planning import check_fit
from archspec.train.run.checkpoint import TRAINING_STATE, is_whole, read_checkpoint
from archspec.train.run.run_directory import Run, read_written, write_settings
from archspec.train.run.run_lock import lock_run
from archspec.train.trainable_output import check_logits
from archspec.verifiers.verify import verify_or_raise
from archspec.weights.pairing.matching import match_shapes
from archspec.writers.mindspore.module import write_module


def accept_changes(run: Run, splits: Splits | None = None, *, certify: bool = False) -> Run:
    """Take spec.yaml and recipe.yaml as they are now; return the run.

    The module is written anew, and so is the certificate, if one is asked for.

    Raises:
        ArchspecError: spec or recipe are wrong, do not fit the data (T005, T007), or the network
            does not fit the last checkpoint (R003); nothing is changed then.
        TrainingError: T017, another process trains there; T002, a file cannot be written.
    """
    spec, recipe, settings = run.spec, run.recipe, run.settings
    with lock_run(run):
        splits = splits or open_splits(run, check=False)
        check_fit(spec, recipe, splits, settings.devices)
        make_preprocess(spec, recipe)
        graph = verify_or_raise(build_graph(spec))
        check_logits(spec, graph, per_pixel=splits.has_masks)
        find_frozen(recipe, list_parts(graph))
        _check_last(run, graph)
        network = write_module(graph)
        certificate = certify_built(spec, graph, network) if certify else None
        try:
            write_atomic(run.network, network)
            run.certificate.unlink(missing_ok=True)  # it may be another network's
            if certificate is not None:
                write_atomic(run.certificate, json.dumps(certificate, indent=2) + "\n")
            digest = structure_digest(graph)
            write_settings(
                run, replace(settings, structure_digest=digest, written=read_written(run))
            )
        except OSError as error:
            message = f"cannot be written: {error.strerror}"
            raise TrainingError.one("T002", message, str(run.path)) from None
    return Run(run.path)


def _check_last(run: Run, graph: Graph) -> None:
    """Raise ModelFileError (R003) where the last checkpoint is of another network."""
    prepare()
    if not is_whole(run.last):  # none, or one that will not be taken
        return
    held = {
        name: tensor
        for name, tensor in read_checkpoint(run.last).items()
        if not TRAINING_STATE.match(name)
    }
    wanted = {name: parameter.shape for name, parameter in list_parameters(graph).items()}
    match_shapes(held, wanted, str(run.last))
