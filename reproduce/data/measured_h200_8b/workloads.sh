#!/bin/sh
# Makes the workloads of this folder again; they are kept here as they were run.
set -eu
cd "$(dirname "$0")/workloads"
generate() { dovetail workload generate "$@" --overwrite; }

generate single --prompt lognormal:600:0.8:3000 --output lognormal:150:0.7:600 \
    --apps 300 --arrivals poisson:16 --seed 6 --out poisson300.json.gz
generate single --prompt lognormal:4500:0.4:7600 --output lognormal:150:0.7:400 \
    --apps 80 --arrivals poisson:3 --seed 7 --out long-prompts.json.gz
