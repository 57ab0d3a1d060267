"""A file for Slurm's `sbatch`."""

from __future__ import annotations

from archspec.train.cluster.job import Job

SECONDS_TO_SAVE = 60
"""From the signal to the end of the time: twice what `densenet train` takes at most."""
SECONDS_TO_FOLLOW = 300
"""That machines have to end by themselves after the first one has."""
LEAST_MINUTES = 3
"""That a job may last: Slurm may send the signal up to a minute too early, and a run wants to get
somewhere before."""


def read_minutes(time: str) -> float:
    """Return how many minutes a limit is, as sbatch reads its forms: `90`, `90:30` (minutes and
    seconds), `24:00:00`, `2-12`, `2-12:30`, `2-12:30:00`.
    """
    days, _, clock = time.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = 0, *[*parts, 0][:2]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def write_sbatch(
    job: Job, *, time: str | None = None, partition: str | None = None, account: str | None = None
) -> str:
    """Return the file: one task on each machine, which starts the processes there."""
    options = {
        "job-name": job.name,
        "partition": partition,
        "account": account,
        "time": time,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": job.cpus,
        "mem": job.memory or ("0" if job.cpus is None else None),
        "gres": job.resource and f"{job.resource}:{job.devices}",
        "output": "%x-%j.log",
        "open-mode": "append",
        "signal": f"TERM@{SECONDS_TO_SAVE}",
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None]
    if job.cpus is None:
        lines.append("#SBATCH --exclusive")  # the whole machine
    words = job.choose_words(f"runs/{job.name}-$SLURM_JOB_ID")
    head = [*_HEAD, f"# {job.size}."]
    return "\n".join([*head, *lines, *_ENVIRONMENT, *words, *_start(job), *_END]) + "\n"


_HEAD = (
    "#!/bin/bash",
    "# For Slurm: sbatch THIS-FILE. Written by `densenet launch-script`, to be changed at will.",
)
_ENVIRONMENT = (
    "#SBATCH --requeue",
    "",
    "# sbatch hands on the environment that it is typed in. Where that knows no `densenet`, or no",
    "# CANN, this is the place to say it:",
    "# source venv/bin/activate",
    "# source /usr/local/Ascend/ascend-toolkit/set_env.sh",
    "",
)
_MASTER = (
    "",
    "# The others look for the first machine there; another job on it has another port.",
    'master=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
    "master=$master:$((10000 + SLURM_JOB_ID % 20000))",
)
_END = (
    "status=$?",
    "",
    "# 143: the time was nearly over, and the run is saved. It goes back into the queue, as after",
    "# the failure of a machine, and on from there. scancel ends this shell before it is here.",
    'if [ "$status" -eq 143 ]; then',
    '  scontrol requeue "$SLURM_JOB_ID"',
    "fi",
    'exit "$status"',
)


def _start(job: Job) -> list[str]:
    # One task is bound to as few cores as it seems to need; its processes want all of the job's.
    step = "srun --cpu-bind=none"
    if job.cpus is not None:
        step += f" --cpus-per-task={job.cpus}"  # srun does not take over what is said to sbatch
    why = ["", "# The processes of a machine share all cores that the job has there."]
    if job.nodes == 1:
        return [*why, f'{step} densenet train "$@"']
    place = f'--nodes {job.nodes} --node-rank "$SLURM_NODEID" --master "$0"'
    return [
        *_MASTER,
        *why,
        "# shellcheck disable=SC2016 # each machine's own shell puts its number in",
        f"{step} --wait={SECONDS_TO_FOLLOW} bash -c \\",
        f"""  'exec densenet train "$@" {place}' "$master" "$@\"""",
    ]
