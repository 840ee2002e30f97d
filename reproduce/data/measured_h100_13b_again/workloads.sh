#!/bin/sh
# Makes the workloads of this folder again; they are kept here as they were run.
set -eu
cd "$(dirname "$0")/workloads"
generate() { dovetail workload generate "$@" --overwrite; }

generate shared-prefix --prompt a:1800:100:100 --prompt b:900:40:160 --prompt c:350:200:60 \
    --apps 240 --arrivals poisson:16 --seed 6 --out three-prefixes.json.gz
generate single --prompt 48 --output 96 --apps 240 --out burst-of-short.json.gz
generate single --prompt lognormal:300:1.0:3000 --output lognormal:60:1.0:600 \
    --apps 240 --arrivals poisson:14 --seed 7 --out poisson240-short.json.gz
