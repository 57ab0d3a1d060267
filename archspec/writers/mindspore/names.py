"""Names that may stand in emitted text: of the network, and of operators,
which become attributes of cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from keyword import iskeyword

from archspec.errors import Diagnostic
from archspec.graph.ir import Graph

TITLE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
PLACE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")

# What every `mindspore.nn.Cell` has (2.10.0, and none before it has others): an operator of such
# a name would replace it.
CELL_NAMES = frozenset(
    """
    IGNORE_LIST T_destination add_flags add_flags_recursive apply arguments_key bprop_debug
    buffers cast_inputs cell_init_args cell_type cells cells_and_names check_names
    check_names_and_refresh_name cls_name compile compile_and_run compile_cache compile_phase
    compiled construct create_time enable_backward_hook exist_names exist_objs extend_repr
    generate_scope get_buffer get_extra_state get_flags get_func_graph_proto get_inputs
    get_mixed_precision_type get_parameters get_scope get_sub_cell global_cells grad_ops_label
    has_bprop init_parameters_data insert_child_to_cell insert_param_to_cell is_top_cell
    jit_config_dict load_state_dict mixed_precision_type name_cells named_buffers offload
    parallel_parameter_merge_net_dict parallel_parameter_name_list param_prefix
    parameter_layout_dict parameters_and_names parameters_broadcast_dict parameters_dict phase
    phase_cache pipeline_segment pipeline_stage recompute register_backward_hook
    register_backward_pre_hook register_buffer register_forward_hook register_forward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_parameter_forward_hook register_saved_tensors_hooks register_state_dict_post_hook
    register_state_dict_pre_hook remove_redundant_parameters requires_grad run_construct set_boost
    set_broadcast_flag set_comm_fusion set_data_parallel set_extra_state set_grad set_inputs
    set_jit_config set_mixed_precision_type set_train shard state_dict to to_empty to_float
    total_instance_count trainable_params training untrainable_params update_cell_prefix
    update_cell_type update_parameters_name
    """.split()  # noqa: SIM905  a list would take a line for each
)


def find_name_faults(graph: Graph, taken: frozenset[str] = CELL_NAMES) -> tuple[Diagnostic, ...]:
    """Return a W003 for each name of a graph that cannot stand in Python text;
    `taken` are those of every cell.
    """
    return tuple(_find_faults(graph, taken))


def _find_faults(graph: Graph, taken: frozenset[str]) -> Iterator[Diagnostic]:
    for name, pattern in ((graph.name, TITLE), *((op, PLACE) for op in graph.ops)):
        if not pattern.fullmatch(name):
            yield Diagnostic("W003", f"{name!r} is no name for Python text", graph.name)
    for name in graph.ops:
        yield from _find_faults_of_name(name, graph, taken)


def _find_faults_of_name(name: str, graph: Graph, taken: frozenset[str]) -> Iterator[Diagnostic]:
    parts = name.split(".")
    for part in dict.fromkeys(parts):
        if part in taken or iskeyword(part):
            message = f"{part!r} cannot name an operator: {_reason(part)}"
            yield Diagnostic("W003", message, name, "give the step another name")
    for length in range(1, len(parts)):
        holder = ".".join(parts[:length])
        if holder in graph.ops:
            yield Diagnostic("W003", f"{holder!r} names an operator, and others inside it", name)


def _reason(part: str) -> str:
    if iskeyword(part):
        return "it is a word of Python"
    return "every MindSpore cell has an attribute of that name"
