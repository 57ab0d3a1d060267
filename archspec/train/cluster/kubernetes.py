"""Manifests for Kubernetes: an Indexed Job with its Service, or a Job of Volcano's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from archspec.train.cluster.job import Job
from archspec.train.distributed.nodes import USUAL_PORT

RETRIES = 3
"""Times that a run may be ended by faults and go on."""


@dataclass(frozen=True)
class Place:
    """What a pod needs of the cluster."""

    image: str
    claim: str
    """A PersistentVolumeClaim that all pods mount; relative paths begin in it."""
    folder: str = "/workspace"
    """Where it is mounted."""
    namespace: str | None = None


def write_indexed_job(job: Job, place: Place) -> str:
    """Return a Job whose pods each know their number, and the Service by which they find the first
    one, where there are several.
    """
    pod = _write_pod(job, place, first=f"{job.name}-0.{job.name}", index="JOB_COMPLETION_INDEX")
    service, subdomain = [], []
    if job.nodes > 1:
        service, subdomain = _write_service(job, place), [f"subdomain: {_quote(job.name)}"]
    lines = [
        "apiVersion: batch/v1",
        "kind: Job",
        *_write_metadata(job, place),
        "spec:",
        "  completionMode: Indexed # each pod knows which machine of the run it is",
        f"  completions: {job.nodes}",
        f"  parallelism: {job.nodes}",
        f"  backoffLimit: {RETRIES * job.nodes} # a pod that failed is made anew, and goes on",
        "  podFailurePolicy:",
        "    rules:",
        "    - action: FailJob # words that densenet does not know, nor will the next time",
        "      onExitCodes: {operator: In, values: [2]}",
        "    - action: Ignore # a machine was drained, which is no fault of the run's",
        '      onPodConditions: [{type: DisruptionTarget, status: "True"}]',
        "  template:",
        "    spec:",
        *_indent(6, [*subdomain, "restartPolicy: Never", *pod]),
    ]
    return "\n".join([*_write_head(job), *service, *lines]) + "\n"


def write_volcano_job(job: Job, place: Place, queue: str | None = None) -> str:
    """Return a Job of Volcano's, which starts all pods or none, and makes the Service itself."""
    pod = _write_pod(job, place, first=f"{job.name}-node-0.{job.name}", index="VC_TASK_INDEX")
    lines = [
        "apiVersion: batch.volcano.sh/v1alpha1",
        "kind: Job",
        *_write_metadata(job, place),
        "spec:",
        "  schedulerName: volcano",
        *([] if queue is None else [f"  queue: {_quote(queue)}"]),
        f"  minAvailable: {job.nodes} # all machines at once, or none yet",
        f"  maxRetry: {RETRIES}",
        "  plugins:",
        "    env: [] # VC_TASK_INDEX: which machine of the run a pod is",
        "    svc: [--publish-not-ready-addresses=true] # names of pods, before they are ready",
        "  policies: # one machine alone cannot go on: all begin anew, where the run was",
        "  - {event: PodFailed, action: RestartJob}",
        "  - {event: PodEvicted, action: RestartJob}",
        "  tasks:",
        "  - name: node",
        f"    replicas: {job.nodes}",
        "    policies: [{event: TaskCompleted, action: CompleteJob}]",
        "    template:",
        "      spec:",
        *_indent(8, ["restartPolicy: Never", *pod]),
    ]
    return "\n".join([*_write_head(job), *lines]) + "\n"


def _write_head(job: Job) -> list[str]:
    return [
        "# For Kubernetes: kubectl create -f THIS-FILE. Written by `densenet launch-script`, to be",
        f"# changed at will. {job.size}.",
    ]


def _write_metadata(job: Job, place: Place) -> list[str]:
    lines = ["metadata:", f"  name: {_quote(job.name)}"]
    if place.namespace is not None:
        lines.append(f"  namespace: {_quote(place.namespace)}")
    return lines


def _write_service(job: Job, place: Place) -> list[str]:
    return [
        "apiVersion: v1",
        "kind: Service",
        *_write_metadata(job, place),
        "spec:",
        f"  clusterIP: None # it names the pods, no more: {job.name}-0.{job.name} is the first",
        "  publishNotReadyAddresses: true # they look for each other before they are ready",
        f"  selector: {{batch.kubernetes.io/job-name: {_quote(job.name)}}}",
        "---",
    ]


def _write_pod(job: Job, place: Place, *, first: str, index: str) -> list[str]:
    """Return what is the same under both; `first` is the first pod's name in the network, `index`
    the variable that says which pod this is.
    """
    return [
        "terminationGracePeriodSeconds: 60 # told to end, densenet saves, which takes 25 s at most",
        "containers:",
        "- name: train",
        f"  image: {_quote(place.image)}",
        f"  workingDir: {_quote(place.folder)}",
        "  command: [sh, -c]",
        "  args:",
        "  - |",
        *_indent(4, _write_shell(job, first, index)),
        *_indent(2, _write_resources(job)),
        "  volumeMounts:",
        f"  - {{name: storage, mountPath: {_quote(place.folder)}}}",
        "  - {name: memory, mountPath: /dev/shm}",
        "volumes:",
        "- name: storage # all pods see it: data, and the run",
        f"  persistentVolumeClaim: {{claimName: {_quote(place.claim)}}}",
        "- name: memory # by which processes share images; without it there are 64 MB",
        "  emptyDir: {medium: Memory}",
    ]


def _write_shell(job: Job, first: str, index: str) -> list[str]:
    # Kubernetes makes one of two dollars, and puts variables in where it sees $(NAME).
    words = tuple(word.replace("$", "$$") for word in job.words)
    out = None if job.out is None else job.out.replace("$", "$$")
    lines = replace(job, words=words, out=out).choose_words(f"runs/{job.name}")
    if job.nodes == 1:
        return [*lines, 'exec densenet train "$@"']
    return [
        *lines,
        f"master={first}",
        f'if [ "${index}" -eq 0 ]; then',
        "  master=$HOSTNAME # a pod knows its own name before others do",
        "fi",
        'exec densenet train "$@" \\',
        f'  --nodes {job.nodes} --node-rank "${index}" --master "$master:{USUAL_PORT}"',
    ]


def _write_resources(job: Job) -> list[str]:
    wishes = {job.resource: job.devices, "cpu": job.cpus, "memory": job.memory}
    said = [f"{name}: {_quote(str(value))}" for name, value in wishes.items() if name and value]
    return ["resources:", f"  limits: {{{', '.join(said)}}}"] if said else []


def _quote(text: str) -> str:
    """In quotes, whatever YAML would take the word for."""
    return json.dumps(text, ensure_ascii=False)


def _indent(spaces: int, lines: Sequence[str]) -> list[str]:
    return [f"{' ' * spaces}{line}" for line in lines]
