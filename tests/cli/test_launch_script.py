"""densenet launch-script: what it writes, where, and what it refuses at once."""

import pytest
import yaml
from typer.testing import CliRunner

from densenet_cli.app import make_app

IN_CLUSTER = ("--image", "registry.example.org/densenet", "--claim", "training")
REFUSED = {
    "no scheduler": ((), "say --slurm, --kubernetes or --volcano"),
    "two schedulers": (("--slurm", "--volcano"), "one of them"),
    "no image": (("--kubernetes", "--claim", "a"), "say --image"),
    "no volume": (("--volcano",), "say --image and --claim"),
    "an option of Kubernetes": (("--slurm", "--namespace", "a"), "nothing to Slurm"),
    "an option of Slurm": (("--kubernetes", *IN_CLUSTER, "--time", "9"), "nothing to Kubernetes"),
    "a queue without one": (("--kubernetes", *IN_CLUSTER, "--partition", "a"), "nothing to Kub"),
    "devices without cores": (("--slurm", "--resource", "npu"), "say how many cores"),
    "another time": (("--slurm", "--time", "1h"), "24:00:00"),
    "no limit": (("--slurm", "--time", "0"), "0 is no limit to Slurm"),
    "no limit, as a clock has it": (("--slurm", "--time", "0-00:00"), "is no limit to Slurm"),
    "no time to train": (("--slurm", "--time", "00:02:59"), "no time to train"),
    "an endless number": (("--slurm", "--time", "9" * 5000), "90 (minutes)"),
    "minutes beyond an hour": (("--slurm", "--time", "25:99:00"), "24:00:00"),
    "a run outside the claim": (
        ("--kubernetes", *IN_CLUSTER, "--", "-o", "/elsewhere/run"),
        "/elsewhere/run is outside the claim, which pods have at /workspace",
    ),
    "a run above the claim": (
        ("--volcano", *IN_CLUSTER, "--", "-o", "../run"),
        "outside the claim",
    ),
    "a claim for all": (("--kubernetes", "--image", "a", "--claim", "a:/"), "image's own files"),
    "a claim above": (("--volcano", "--image", "a", "--claim", "a:/w/../.."), "image's own files"),
    "Kubernetes' memory": (("--slurm", "--memory", "64Gi"), "64G"),
    "a line feed": (("--slurm", "--account", "a\n#SBATCH --uid=0"), "not what Slurm takes"),
    "a name in capitals": (("--volcano", *IN_CLUSTER, "--name", "My_Net"), "small letters"),
    "YAML": (("--kubernetes", "--image", 'a"}', "--claim", "a"), "not what Kubernetes takes"),
    "train's flag, no --": (("--slurm", "--data-dir", "photos"), "behind a --"),
    "a typo in train's flag": (("--slurm", "--", "--epohcs", "3"), "--epochs"),
    "another tool's flag": (("--slurm", "--", "--model", "a"), "SPEC, the first argument"),
    "a flag without its value": (("--slurm", "--", "--epochs"), "requires an argument"),
    "machines behind": (("--slurm", "--", "--devices", "2"), "before the --"),
    "named devices": (("--slurm", "--", "--device-ids", "0,1"), "the scheduler chooses"),
    "a dry run": (("--slurm", "--", "--dry-run"), "starts nothing"),
    "words in lines": (("--slurm", "--", "--data-dir", "a\nb"), "no line of a file can hold"),
    "no UTF-8": (("--slurm", "--", "--data-dir", "a\udcff"), "no line of a file can hold"),
    "a profile of two": (("--slurm", "--nodes", "2", "--", "--profile"), "2 devices train"),
    "a restart of one": (("--slurm", "--", "--restarts", "2"), "goes with several --devices"),
    "a restart of two machines": (
        ("--slurm", "--nodes", "2", "--", "--restarts", "2"),
        "goes with one machine",
    ),
    "ssh": (("--slurm", "--", "--ssh"), "the scheduler starts"),
    "a resumed run's rate": (("--slurm", "--", "--resume", "a", "--lr", "1"), "leave out --lr"),
}
FAULTY = {
    "spec": (("densnet121",), "S010 there is no spec 'densnet121'"),
    "key": (("--set", "growth_rat=3"), "S001 unknown key 'growth_rat'"),
    "key of the recipe": (("--set", "recipe.epohcs=3"), "S001 unknown key 'epohcs'"),
    "recipe": (("--recipe", "imagenot"), "S010 there is no recipe 'imagenot'"),
    "both": (("densnet121", "--lr", "-1"), "schedule.learning_rate"),
}


def invoke(*words):
    return CliRunner().invoke(make_app(["launch-script"]), ["launch-script", *words])


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_no_scheduler_or_train_would_take_is_refused_in_words(words, said):
    """As wrong usage, before anything is written."""
    done = invoke(*words)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.replace("│", "").split())
    assert done.stdout == ""


@pytest.mark.parametrize(("words", "said"), FAULTY.values(), ids=FAULTY)
def test_faults_of_spec_and_recipe_are_told_now(words, said):
    """All of them; a file that is not here, or a key of another recipe, is none."""
    done = invoke("--slurm", "--", *words)
    assert said in str(done.exception)
    assert done.stdout == ""


def test_files_that_are_elsewhere_are_left_to_the_cluster():
    """A pod's volume is not on this machine."""
    done = invoke("--slurm", "--", "nets/my.yaml", "--recipe", "recipes/my.yaml")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "note: nets/my.yaml is not here, and was not read",
        "note: recipes/my.yaml is not here, and was not read",
    ]
    assert "#SBATCH --job-name=my\n" in done.stdout


def test_what_suits_one_of_the_recipes_that_may_be_taken_is_no_fault():
    """Which one it is, the data will tell: a loss scale means something to Ascend's alone."""
    words = ("densenet121", "--data-dir", "IMAGENET", "--set", "recipe.loss_scale=dynamic")
    done = invoke("--slurm", "--", *words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "--set recipe.loss_scale=dynamic" in done.stdout


@pytest.mark.parametrize(
    ("form", "kinds"), [("--kubernetes", ["Service", "Job"]), ("--volcano", ["Job"])]
)
def test_manifests_stand_on_the_screen_with_what_was_said(form, kinds):
    """The device's name follows the kind of device; names fit what Kubernetes calls a name."""
    done = invoke(
        *(form, *IN_CLUSTER, "--nodes", "2", "--devices", "8", "--", "densenetbc100_k12"),
        *("--device-target", "Ascend"),
    )
    assert done.exit_code == 0, done.output
    manifests = [*yaml.safe_load_all(done.stdout)]
    assert [manifest["kind"] for manifest in manifests] == kinds
    assert manifests[-1]["metadata"] == {"name": "densenetbc100-k12"}
    assert 'limits: {huawei.com/Ascend910: "8"}' in done.stdout


@pytest.mark.parametrize("time", ["3", "1-05:00:00", "0-0:03", "2-12"])
def test_a_limit_stands_as_it_was_typed(time):
    done = invoke("--slurm", "--time", time)
    assert f"\n#SBATCH --time={time}\n" in done.stdout, done.output


def test_what_no_run_keeps_is_said_by_each_start():
    """A job that is run again would have no restarts, else."""
    words = ("--restarts", "2", "--hang-after", "600", "--epochs", "3")
    text = invoke("--slurm", "--devices", "2", "--", *words).stdout
    assert 'set -- --resume "$run" --restarts 2 --hang-after 600\n' in text


def test_a_file_is_written_whole_and_never_over_another(tmp_path, monkeypatch):
    """With the folders that it is to lie in; the next command is said."""
    monkeypatch.chdir(tmp_path)
    done = invoke("--slurm", "-o", "jobs/my net/train.sbatch", "--", "densenet121")
    assert done.stdout.splitlines()[1] == "Next: sbatch 'jobs/my net/train.sbatch'"
    file = tmp_path / "jobs/my net/train.sbatch"
    assert file.read_text() == invoke("--slurm", "--", "densenet121").stdout
    file.write_text("mine")
    done = invoke("--slurm", "-o", str(file), "--", "densenet121")
    assert "W002 exists, and is not overwritten" in str(done.exception)
    done = invoke("--slurm", "-o", str(file / "below"), "--", "densenet121")
    assert "W002 cannot be written" in str(done.exception)
    assert [path.read_text() for path in file.parent.iterdir()] == ["mine"]
