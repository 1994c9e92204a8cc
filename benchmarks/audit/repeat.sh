#!/usr/bin/env bash
# Runs every script of this folder and writes what each prints to OUT.
#
#   benchmarks/audit/repeat.sh SHARED MINILM SRE_MINILM OUT
#
# SHARED is a folder with golden/, data/ and models/: the cases, collections and the pair stories260K that the scripts
# name. MINILM is all-MiniLM-L6-v2, SRE_MINILM is sre-embedding-model, fine-tuned from it. What is in OUT is not
# measured again: a stopped run goes on, and a file that was deleted is made again. After a change of the code, give an
# empty OUT.
set -euo pipefail
shared=$1 minilm=$2 sre=$3 out=$4
here=$(dirname "$0")
python=${PYTHON:-.venv/bin/python}
backbone=$shared/models/stories260K retriever=$shared/models/stories260K-retriever-squad
nq=beir:$shared/data/nq-open-gold policyqa=beir:$shared/data/policyqa/dev cache=$out/cache
mkdir -p "$out"

keep() {  # NAME ARGUMENTS: writes OUT/NAME.txt, what Python prints with these arguments
  local name=$1 start=$SECONDS
  shift
  if [ -e "$out/$name.txt" ]; then echo "$name: kept"; return; fi
  "$python" "$@" >"$out/$name.txt.part" 2>"$out/$name.log"
  mv "$out/$name.txt.part" "$out/$name.txt"
  echo "$name: $((SECONDS - start)) s"
}

audit() {  # NAME SCRIPT OPTIONS: writes OUT/NAME.txt
  local name=$1 script=$2
  shift 2
  keep "$name" "$here/$script.py" "$@"
}

audit published_queries published_queries --golden "$shared/golden" --data "$nq"
audit doors doors
# Options that contradict one another or failed late: a line for each combination that a test runs, and their number.
keep combinations -m pytest -vv --no-header "$here/../../tests/study/test_combinations.py"
audit families families
audit which_tests which_tests
audit worth_shares worth_shares
audit grid_claims grid_claims
audit headline-made headline
audit headline headline --before "$minilm" --after "$sre" --data "$policyqa" --cache "$cache"
audit clusters clusters
audit outcomes outcomes
audit sample sample
audit effective_rank effective_rank
audit training training --model "$backbone" --data "$policyqa"
audit drift drift --before "$minilm" --after "$sre" --data "$nq"
audit unrelated unrelated --before "$minilm" --after "$sre" --data "$nq" --cache "$cache"
audit transplants transplants --before "$backbone" --after "$retriever" --data "$nq" --pooling mean
audit anchor anchor --model "$minilm" --data "$nq" --cache "$cache" --layers 6
audit answers answers --model "$minilm" --data "$nq" --cache "$cache"
audit hash_labels hash_labels --model "$minilm" --data "$nq" --cache "$cache" --queries 300 600 1200 0
audit repeats repeats --model "$minilm" --data "$policyqa" --cache "$cache"
audit baselines baselines "$backbone" "$retriever" --data "$nq" --pooling mean --cache "$cache"
audit completeness-query completeness --model "$retriever" --data "$nq" --tower query
audit completeness completeness --model "$retriever" --data "$nq"
running=()  # a model this small gains nothing from a second thread
for data in nq-open-gold scifact squad1-train5pct-tokenised policyqa/dev; do
  audit "ablation_null-${data%%/*}" ablation_null --model "$retriever" --pooling mean --data "beir:$shared/data/$data" \
    --quadrature gauss:4 --fractions 0.01,0.03,0.1 --threads 1 &
  running+=($!)
done
for one in "${running[@]}"; do wait "$one"; done
