#!/bin/sh
# The GPU rows of docs/benchmarks.md: shares of the rates of products, and attribution beside the published loop.
#
#   benchmarks/gpu.sh MODEL TEXTS                 # a BERT-like model's folder, and a file with one text a line
#   DEVICE=cpu SHAPES=bert-base benchmarks/gpu.sh MODEL TEXTS
#
# MODEL lends its tokenizer to random models of the shapes of BERT-base and of a LLaMA of 7 billion weights.
set -eu
model=$1 texts=$2 device=${DEVICE:-cuda} shapes=${SHAPES:-bert-base llama-7b} here=$(dirname "$0")

for shape in $shapes; do
  for precision in bfloat16 tf32; do
    python "$here/rates.py" --model "$model" --shape "$shape" --device "$device" --precision "$precision" \
      --texts "${N:-512}" --jobs encoding ablation
  done
  python "$here/neurons.py" --model "$model" --shape "$shape" --device "$device" --precision tf32 --texts "$texts" \
    --n-texts "${N_ATTRIBUTED:-16}" --reference-texts 0 --rules gauss:4 --published-texts 1 --alphas 1
done
