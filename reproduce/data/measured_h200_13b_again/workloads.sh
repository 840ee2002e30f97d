#!/bin/sh
# Makes the workload of this folder again; it is kept here as it was run.
set -eu
cd "$(dirname "$0")/workloads"
generate() { dovetail workload generate "$@" --overwrite; }

generate map-reduce --apps 4 --arrivals poisson:1.6 --seed 14 --out part-map-reduce.json.gz
generate chat --turns 3 --apps 14 --arrivals poisson:5 --think-time 1 --system-tokens 512 --seed 24 \
    --out part-chat.json.gz
generate single --prompt lognormal:600:0.8:3000 --output lognormal:150:0.7:600 \
    --apps 40 --arrivals poisson:12 --seed 34 --out part-single.json.gz
generate agents --files 3 --output-tokens 100 --apps 2 --arrivals poisson:1.6 --seed 44 --out part-agents.json.gz
rm -f mixed4.json.gz
dovetail workload mix mr=part-map-reduce.json.gz chat=part-chat.json.gz single=part-single.json.gz \
    agents=part-agents.json.gz --out mixed4.json.gz
rm part-*.json.gz
