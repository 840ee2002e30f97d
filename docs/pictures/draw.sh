#!/bin/sh
# Draws the pictures of this folder again, from the runs in reproduce/data/measured_h200_13b.
set -eu
cd "$(dirname "$0")"
measured=../../reproduce/data/measured_h200_13b
folder="$(mktemp -d)"
trap 'rm -r "$folder"' EXIT

dovetail reproduce policies --plot "$folder/policies.png"
dovetail suite "$measured/two-gpus.yaml" --simulate --profile h200-llama-13b --only mixed-1-stage-priority \
    --out "$folder/simulated"
dovetail compare "$folder/simulated/mixed-1-stage-priority/0" "$measured/runs/mixed-1-stage-priority/0" \
    --out "$folder/compared"
cp "$folder/policies.png" h200-policies.png
cp "$folder/compared/scatter.png" h200-calls.png
