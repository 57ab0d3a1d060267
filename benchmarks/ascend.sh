#!/usr/bin/env bash
# What docs/ascend.md says, run on a server in one go; leaves ascend-report.tar.gz to send back.
#
#     bash benchmarks/ascend.sh [IMAGENET]
#
# IMAGENET has train/ and val/ with a folder for each class; without it small networks alone are
# trained, on the embedded digits. DEVICES (8) is the most that are used at once, TARGET (Ascend) may
# be CPU to try the script itself. Each command has an hour at most; none stops the others.
#
#     HOSTFILE=hosts SHARED=/shared bash benchmarks/ascend.sh /shared/imagenet
#
# tries several machines beside, HOST slots=N a line, the first one this one, reached by ssh without
# a password. Runs of theirs are written below SHARED, which all of them have (this folder). SETUP is
# what each host's shell does first, such as '. venv/bin/activate'; without it each goes to this
# folder and takes this Python.
set -u
imagenet=${1:-}
hostfile=${HOSTFILE:-}
shared=${SHARED:-$PWD}/ascend-nodes
target=${TARGET:-Ascend}
devices=${DEVICES:-8}
out=ascend-report
rm -rf "$out" && mkdir "$out"
report=$out/report.txt

try() { # NAME COMMAND...: what it printed, how long it took, how it ended
  local name=$1 began=$SECONDS
  shift
  echo "== $name: $*" | tee -a "$report"
  timeout 3600 "$@" >"$out/$name.txt" 2>&1
  local code=$?
  tail -n 15 "$out/$name.txt" >>"$report"
  echo "-- $name ended with $code after $((SECONDS - began)) s" | tee -a "$report"
}

try doctor densenet doctor --device-target "$target"
npu-smi info >"$out/npu-smi.txt" 2>&1
on=(--device-target "$target")
try digits-1 densenet train "${on[@]}" --epochs 3 --profile -o "$out/digits-1"
try digits-again densenet train "${on[@]}" --epochs 3 -o "$out/digits-again"
try digits-2 densenet train "${on[@]}" --epochs 3 --devices 2 -o "$out/digits-2"
try digits-all densenet train "${on[@]}" --epochs 3 --devices "$devices" -o "$out/digits-all"
# Ended in its middle, and taken up again.
try ended timeout -s TERM 120 densenet train "${on[@]}" --epochs 2000 --save-every 20 -o "$out/ended"
try how-far densenet train --resume "$out/ended" --dry-run
try resumed timeout -s TERM 60 densenet train --resume "$out/ended"
try how-far-then densenet train --resume "$out/ended" --dry-run
try validate densenet validate "$out/digits-all" --devices 2 "${on[@]}"
if [ -n "$imagenet" ]; then
  for network in densenet121 densenet161 densenet169 densenet201; do
    few=(--data-dir "$imagenet" --set recipe.data.samples=12800 --epochs 1)
    try "$network-1" densenet train "$network" "${on[@]}" "${few[@]}" --profile -o "$out/$network-1"
    try "$network-all" densenet train "$network" "${on[@]}" "${few[@]}" --devices "$devices" \
      -o "$out/$network-all"
  done
fi
if [ -n "$hostfile" ]; then
  rm -rf "$shared" && mkdir -p "$shared"
  cp "$hostfile" "$out/hosts.txt"
  hosts=(--hostfile "$hostfile" --ssh)
  [ -n "${SETUP:-}" ] && hosts+=(--ssh-setup "$SETUP")
  first=${SETUP:-cd $PWD} program=densenet
  [ -z "${SETUP:-}" ] && program=$(command -v densenet)
  # ssh takes an IPv6 address without the brackets that the file may have.
  for host in $(sed 's/#.*//' "$hostfile" | awk '{print $1}' | tr -d '[]'); do
    try "doctor-$host" ssh -o BatchMode=yes "$host" "$first && $program doctor ${on[*]}"
  done
  # What each node would run; then both for real, a node that ends, and the run taken up again.
  try nodes-plan densenet train "${on[@]}" --hostfile "$hostfile" --epochs 3 -o "$shared/digits" \
    --dry-run
  try nodes-digits densenet train "${on[@]}" "${hosts[@]}" --epochs 3 -o "$shared/digits"
  try nodes-ended timeout -s TERM 180 densenet train "${on[@]}" "${hosts[@]}" --epochs 2000 \
    --save-every 20 -o "$shared/ended"
  try nodes-resumed timeout -s TERM 120 densenet train --resume "$shared/ended" "${hosts[@]}"
  try nodes-how-far densenet train --resume "$shared/ended" --dry-run --hostfile "$hostfile"
  if [ -n "$imagenet" ]; then
    try nodes-densenet121 densenet train densenet121 "${on[@]}" "${hosts[@]}" --epochs 1 \
      --data-dir "$imagenet" --set recipe.data.samples=25600 -o "$shared/densenet121"
  fi
  cp -r "$shared" "$out/nodes"
fi
# Weights are large, and tell nothing here.
tar czf ascend-report.tar.gz --exclude='*.ckpt' --exclude='*.safetensors' "$out"
echo "wrote ascend-report.tar.gz"
