"""What MindSpore's profiler writes, read as times of a step."""

import pytest

from archspec.errors import TrainingError
from archspec.runtime import prepare
from archspec.train.monitoring.operator_times import (
    OperatorTime,
    OperatorTimes,
    read_operator_times,
)

CPU = """\
op_type,type_occurrences,execution_frequency(per-step),total_compute_time,avg_time(ms),percent
ReLU,4,4,1.0,0.25,0.1
Conv2D,8,8,9.0,1.125,0.9
"""
ASCEND = """\
Device_id,OP Type,Core Type,Count,Total Time(us),Min Time(us),Avg Time(us),Max Time(us),Ratio(%)
0,Conv2D,AI_CORE,4,3000.0,700,750,800,60
0,Conv2D,MIX_AIC,4,6000.0,700,1500,1600,30
0,ReLU,AI_VECTOR_CORE,4,1000.0,200,250,300,10
"""
OF_A_STEP = (OperatorTime("Conv2D", 4, 4.5), OperatorTime("ReLU", 2, 0.5))
"""By hand, of two steps."""


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("x_ascend_ms/FRAMEWORK/cpu_op_type_info_0.csv", CPU),
        ("x_ascend_ms/ASCEND_PROFILER_OUTPUT/op_statistic.csv", ASCEND),
    ],
)
def test_times_are_of_a_step_and_the_slowest_first(place, text, tmp_path):
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert read_operator_times(tmp_path, steps=2) == OF_A_STEP


@pytest.mark.slow
def test_a_run_that_ends_amid_the_steps_is_not_profiled_and_the_profiler_is_ended(tmp_path):
    """Its validation came after the steps, and would be counted with them."""
    prepare()
    told = []
    times = OperatorTimes(tell=told.append)
    times.folder, times.seen = tmp_path, 2
    for _ in range(2):  # MindSpore begins no second one beside the first
        times.on_epoch_begin(None)
        assert times._profiler is not None
        times.on_train_end(None, {})
        assert times._profiler is None
    assert (told, times.table, times.is_done) == ([], (), False)


def test_a_profile_without_a_table_is_said(tmp_path):
    with pytest.raises(TrainingError, match="wrote no table of operators"):
        read_operator_times(tmp_path, steps=2)


@pytest.mark.parametrize("text", [CPU.replace("total_compute_time", "time"), CPU + "Pad,x,1,y\n"])
def test_a_table_in_another_form_is_said(text, tmp_path):
    file = tmp_path / "x_ascend_ms/FRAMEWORK/cpu_op_type_info_0.csv"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(TrainingError, match="that is known here"):
        read_operator_times(tmp_path, steps=2)
