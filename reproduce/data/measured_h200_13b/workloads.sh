#!/bin/sh
# Makes the workloads of this folder again; they are kept here as they were run.
set -eu
cd "$(dirname "$0")/workloads"
generate() { dovetail workload generate "$@" --overwrite; }

generate chain --out chain.json.gz
generate chain --apps 4 --out chains4.json.gz
generate map-reduce --out map-reduce15.json.gz
generate map-reduce --maps 30 --out map-reduce30.json.gz
generate map-reduce --apps 12 --arrivals poisson:0.7 --seed 3 --out map-reduces.json.gz
generate single --prompt lognormal:600:0.8:3000 --output lognormal:150:0.7:600 \
    --apps 200 --arrivals poisson:8 --seed 1 --out poisson200.json.gz
generate single --prompt 512 --output 256 --apps 160 --out burst160.json.gz
generate chat --turns 4 --apps 24 --arrivals poisson:2 --think-time 2 --system-tokens 512 --seed 2 --out chat24.json.gz
generate agents --files 4 --output-tokens 150 --apps 6 --arrivals poisson:0.8 --seed 5 --out agents.json.gz
generate shared-prefix --prompt a:1500:60:120 --prompt b:700:60:120 \
    --apps 240 --arrivals poisson:18 --seed 4 --out shared-prefix.json.gz
for seed in 1 2 3; do
    generate map-reduce --apps 4 --arrivals poisson:0.8 --seed 1$seed --out part-map-reduce.json.gz
    generate chat --turns 3 --apps 14 --arrivals poisson:2.5 --think-time 1 --system-tokens 512 --seed 2$seed \
        --out part-chat.json.gz
    generate single --prompt lognormal:600:0.8:3000 --output lognormal:150:0.7:600 \
        --apps 40 --arrivals poisson:6 --seed 3$seed --out part-single.json.gz
    generate agents --files 3 --output-tokens 100 --apps 2 --arrivals poisson:0.8 --seed 4$seed --out part-agents.json.gz
    rm -f mixed$seed.json.gz
    dovetail workload mix mr=part-map-reduce.json.gz chat=part-chat.json.gz single=part-single.json.gz \
        agents=part-agents.json.gz --out mixed$seed.json.gz
    rm part-*.json.gz
done
