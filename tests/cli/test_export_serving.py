"""densenet export --serving: folders of models as Triton and OpenVINO Model Server load them, by
their own schemas.
"""

import json
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest
from conftest import densenet, passed
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from archspec.errors import ArchspecError
from archspec.train import predict
from archspec.train.export.export_serving import export_serving
from archspec.train.export.onnx_form import OnnxForm
from archspec.train.inference.open_trained import open_trained
from archspec.writers.onnx.model_servers import write_triton_config

SCHEMAS = Path(__file__).parents[1] / "schemas"
NAME = "densenetbc_digits"
UNCHECKED = OnnxForm(is_checked=False)


def read_config(text: str) -> Any:
    """As Triton's own `ModelConfig`: a field that it has not, or of another type, is a fault."""
    pool, file = descriptor_pool.DescriptorPool(), descriptor_pb2.FileDescriptorProto()
    file.ParseFromString((SCHEMAS / "triton_model_config.pb").read_bytes())
    pool.Add(file)
    config = pool.FindMessageTypeByName("inference.ModelConfig")
    return text_format.Parse(text, message_factory.GetMessageClass(config)())


def held(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_triton_reads_what_is_written_and_the_file_answers(digits_run, digit_files, tmp_path):
    """Names, types and sizes are those of the ONNX; labels are the classes."""
    arguments = ("export", digits_run, "--serving", "triton", "--unchecked")
    told = passed(densenet(*arguments, cwd=tmp_path))
    assert f"wrote models/{NAME}/1/model.onnx" in told
    model = tmp_path / "models" / NAME
    assert held(tmp_path / "models") == [
        f"{NAME}/1/model.onnx",
        f"{NAME}/config.pbtxt",
        f"{NAME}/labels.txt",
    ]
    config = read_config((model / "config.pbtxt").read_text())
    assert (config.name, config.platform) == (NAME, "onnxruntime_onnx")
    assert config.max_batch_size == 32
    assert config.HasField("dynamic_batching")
    (reads,), (gives,) = config.input, config.output
    graph = onnx.load(model / "1/model.onnx").graph
    assert (reads.name, [*reads.dims]) == (graph.input[0].name, [1, 8, 8])
    assert (gives.name, [*gives.dims]) == (graph.output[0].name, [10])
    assert {reads.data_type, gives.data_type} == {config.input.add(data_type=11).data_type}
    assert (model / gives.label_filename).read_text().split("\n") == [*map(str, range(10)), ""]
    assert len(predict(str(model / "1/model.onnx"), digit_files, top=1)) == len(digit_files)


@pytest.mark.parametrize(
    ("reads", "gives", "wanted"),
    [
        ((1, [3, 3, 8, 8]), [(1, [3, 2])], (0, [3, 3, 8, 8], [""])),
        ((2, ["n", "h", "w", 3]), [(1, ["n", 2])], (32, [-1, -1, 3], ["labels.txt"])),
        (
            (10, ["n", 3, 8, 8]),
            [(1, ["n", 2, 8, 8]), (1, ["n", 2])],
            (32, [3, 8, 8], ["", "labels.txt"]),
        ),
    ],
    ids=["fixed", "images", "several"],
)
def test_what_a_file_reads_and_gives_is_told_as_it_is(reads, gives, wanted):
    """A fixed number of images, images of any size in uint8, half precision, several outputs."""
    describe = onnx.helper.make_tensor_value_info
    inputs = [describe("x", *reads)]
    outputs = [describe(f"y{number}", *each) for number, each in enumerate(gives)]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", inputs, outputs))
    config = read_config(write_triton_config(model, "net", ("a", "b")))
    (read,) = config.input
    labels = [each.label_filename for each in config.output]
    assert (config.max_batch_size, [*read.dims], labels) == wanted
    assert config.HasField("dynamic_batching") is (wanted[0] > 0)
    names = {1: "TYPE_FP32", 2: "TYPE_UINT8", 10: "TYPE_FP16"}
    kinds = read.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    assert kinds[read.data_type].name == names[reads[0]]


def test_model_server_is_told_of_each_model_once(digits_run, tmp_path):
    """Its list keeps what it has; each model's place is told from the list's own."""
    run = open_trained(str(digits_run))
    schema = json.loads((SCHEMAS / "ovms.json").read_text())
    other = {"config": {"name": "other", "base_path": "/models/other", "nireq": 2}}
    (tmp_path / "config.json").write_text(json.dumps({"model_config_list": [other]}))
    for _ in range(2):
        export_serving(run, tmp_path, "ovms", form=UNCHECKED)
        listed = json.loads((tmp_path / "config.json").read_text())
        jsonschema.validate(listed, schema)
        own = {"config": {"name": NAME, "base_path": NAME}}
        assert listed == {"model_config_list": [other, own]}
        assert held(tmp_path) == ["config.json", f"{NAME}/1/model.onnx"]
    export_serving(run, tmp_path, "triton", form=UNCHECKED)
    export_serving(run, tmp_path, "ovms", form=UNCHECKED)
    assert (tmp_path / NAME / "config.pbtxt").exists(), "for both servers still"


def add_version(model: Path) -> None:
    shutil.copytree(model / "1", model / "2")


def add_note(model: Path) -> None:
    (model / "1" / "README.md").write_text("mine")


def change_config(model: Path) -> None:
    (model / "config.pbtxt").write_text("platform: 'onnxruntime_onnx'")


def be_foreign(model: Path) -> None:
    made = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.save(made, model / "1/model.onnx")


def be_broken(model: Path) -> None:
    (model / "1/model.onnx").write_text("no ONNX")


def be_a_link(model: Path) -> None:
    model.rename(model.with_name("elsewhere"))
    model.symlink_to("elsewhere")


def be_a_file(model: Path) -> None:
    shutil.rmtree(model)
    model.write_text("mine")


def test_what_was_not_written_here_is_neither_replaced_nor_touched(digits_run, tmp_path):
    """A model of somebody else's, one of ours with more in it, a file, a link, another list."""
    run, ours = open_trained(str(digits_run)), tmp_path / "ours"
    export_serving(run, ours, "triton", form=UNCHECKED)
    for change in (change_config, be_foreign, be_broken, be_a_link, be_a_file):
        folder = tmp_path / change.__name__
        shutil.copytree(ours, folder)
        change(folder / NAME)
        before = held(folder)
        with pytest.raises(ArchspecError, match=r"W002 exists, and is no model that export has"):
            export_serving(run, folder, "triton", form=UNCHECKED)
        assert held(folder) == before
    for change, named in ((add_version, "2 and 1 more"), (add_note, "1/README.md")):
        folder = tmp_path / change.__name__
        shutil.copytree(ours, folder)
        change(folder / NAME)
        before = held(folder)
        with pytest.raises(ArchspecError, match=f"W002 .* has not written: {named} .move that"):
            export_serving(run, folder, "triton", form=UNCHECKED)
        assert held(folder) == before
    mixed = '{"model_config_list": [], "pipeline_config_list": []}'
    taken = {"model_config_list": [{"config": {"name": NAME, "base_path": "/elsewhere"}}]}
    for listed, words in (
        ("[]", "is no list of models alone"),
        ("no JSON", "is no list of models alone"),
        ("[" * 9999, "is no list of models alone"),
        (mixed, "is no list of models alone"),
        (json.dumps(taken), f"lists another model that is called {NAME}"),
    ):
        (ours / "config.json").write_text(listed)
        with pytest.raises(ArchspecError, match=f"config.json W002 .*{words}"):
            export_serving(run, ours, "ovms", form=UNCHECKED)
        assert (ours / "config.json").read_text() == listed


@pytest.fixture
def small_files_alone():
    """As on a disk that is full: a file of more than 50,000 bytes cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_model_that_cannot_be_written_whole_leaves_the_one_before(digits_run, tmp_path, request):
    """And no draft; of a folder that was made for it nothing. The place that is told is its own."""
    run = open_trained(str(digits_run))
    export_serving(run, tmp_path / "models", "triton", form=UNCHECKED)
    before = held(tmp_path)
    request.getfixturevalue("small_files_alone")
    for folder in ("models", "new/models"):
        place = re.escape(str(tmp_path / folder / NAME))
        with pytest.raises(ArchspecError, match=f"^{place}/1/model.onnx W002 cannot be written: F"):
            export_serving(run, tmp_path / folder, "triton", form=UNCHECKED)
    assert held(tmp_path) == before
    assert not (tmp_path / "new/models").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--serving", "triton", "--format", "mindir"), ("--serving", "ONNX")),
        (("--serving", "triton", "-o", "a.onnx"), ("--output", "folder of models")),
        (("--serving", "ovms", "-o", "file/models", "--unchecked"), ("W002", "file/models")),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
def test_what_cannot_be_served_so_is_refused(digits_run, arguments, words, tmp_path):
    (tmp_path / "file").touch()
    done = densenet("export", digits_run, *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert all(word in done.stderr for word in words), done.stderr
    assert held(tmp_path) == ["file"]
