"""Share of the machine's rate of matrix products that each kind of forward pass reaches, and what bfloat16 gains.

    python benchmarks/rates.py --model MODEL                      # a real model
    python benchmarks/rates.py --model MODEL --shape bert-base    # a random one of that shape, with MODEL's tokenizer
    python benchmarks/rates.py --model MODEL --device cuda --shape llama-7b --jobs encoding ablation   # or gpu.sh

Four jobs, all on the same made-up texts: encoding with the vectors of all layers, an ablation of the top 1 % of the
neurons, hybrids of two models, and attribution. The operations of a job are those of its matrix products, which
torch's counter counts in a pass of its own. The rate of matrix products is that of square matrices in the precision of
the job, timed before and after it. Seconds are those of the wall clock. Ratios are medians of `--repeats` turns.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PretrainedConfig, PreTrainedModel

from retroscope.attribution.ablation import ablated, moments_of_rows
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import text_examples
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.selection import NeuronSet
from retroscope.encoders.architecture.anatomy import prove_anatomy
from retroscope.encoders.encode import encode_rows, final_vectors
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.hardware import in_precision
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.precision import EXACT
from retroscope.encoders.random_weights import with_random_weights
from retroscope.encoders.settings import LoadSettings
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.surgery.hybrids import hybrids

SHAPES: dict[str, tuple[type[PreTrainedModel], PretrainedConfig]] = {
    "bert-base": (BertModel, BertConfig()),
    "llama-7b": (LlamaModel, LlamaConfig()),
}
SIDE = 1024  # of the square matrices
LOWER = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRODUCTS = 20  # that are timed at once
Job = Callable[[str], object]  # precision -> result


def _forward(query: list[int], key: list[int], value: list[int], *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _backward(gradient: list[int], query: list[int], key: list[int], value: list[int], *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))


ATTENTION = {  # the kernels on a processor, which torch's counter does not know
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}


def main() -> None:
    """Time every job, and print its rate and what the lower precision gains."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    encoder = _encoder(args)
    print(f"{encoder.name} on {args.device}, {args.threads} threads, {args.texts} texts of {args.tokens} tokens")
    jobs = _jobs(encoder, args)
    for name, job in ((name, jobs[name]) for name in args.jobs or jobs):
        work = _operations(job)
        turns = [_turn(job, work, args) for _ in range(args.repeats)]
        share, lower, gain = (median(values) for values in zip(*turns, strict=True))
        print(
            f"{name:12} {share:.2f} of the float32 rate; {args.precision} is {gain:.2f} x as fast, {lower:.2f} of its "
            "own rate",
            flush=True,
        )


def _operations(job: Job) -> float:
    """Count the operations of a job on this thread, because torch's counter does not see those of others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        job(EXACT)
    torch.set_num_threads(threads)
    return float(counter.get_total_flops())


def _turn(job: Job, work: float, args: argparse.Namespace) -> tuple[float, float, float]:
    """Return the job's shares of the rates of products in float32 and in `args.precision`, and the ratio of its times.

    The ratio is the time in float32 over the time in `args.precision`.
    """
    seconds, rates = [], []
    for precision in (EXACT, args.precision):
        before = product_rate(args.device, precision)
        seconds.append(_seconds(lambda precision=precision: job(precision), args.device))
        rates.append((before + product_rate(args.device, precision)) / 2)
    exact, lower = (work / took / rate for took, rate in zip(seconds, rates, strict=True))
    return exact, lower, seconds[0] / seconds[1]


def product_rate(device: str, precision: str) -> float:
    """Return the operations per second of products of square matrices in a precision."""
    side = SIDE * (8 if device.startswith("cuda") else 1)  # smaller products leave a GPU idle
    one, two = torch.randn(2, side, side, device=device)
    if precision in LOWER:
        one, two = one.to(LOWER[precision]), two.to(LOWER[precision])
    with in_precision(precision, torch.device(device)):
        one @ two  # the first call prepares the kernel
        return 2 * side**3 * PRODUCTS / _seconds(lambda: [one @ two for _ in range(PRODUCTS)], device)


def _seconds(job: Callable[[], object], device: str) -> float:
    _wait(device)
    start = perf_counter()
    job()
    _wait(device)
    return perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _jobs(encoder: Encoder, args: argparse.Namespace) -> dict[str, Job]:
    """Return the jobs by name. Each is a function of the precision of its forward passes."""
    draw = torch.Generator().manual_seed(0)
    words = min(len(encoder.tokenizer), encoder.backbone.config.vocab_size)
    rows = torch.randint(
        words // 30, words, (args.texts, args.tokens), generator=draw
    ).tolist()  # the first are special
    budget, device = encoding_budget(encoder.device), encoder.device
    places = [(0, f"block:{block}") for block in range(1, encoder.anatomy.n_blocks + 1)]
    examples = text_examples([str(i) for i in range(len(rows))], [encoder.tokenizer.decode(row) for row in rows])
    short = replace(encoder, recipe=encoder.recipe.but("benchmark", max_length=args.tokens))

    @cache
    def other() -> Encoder:
        return with_random_weights(encoder, 1)

    @cache
    def stored_in(precision: str) -> Encoder:
        backbone = deepcopy(encoder.backbone).to(LOWER[precision]) if precision in LOWER else encoder.backbone
        return replace(encoder, backbone=backbone)

    def encoding(precision: str) -> object:
        with in_precision(precision, device):  # for TF32
            return encode_rows(stored_in(precision), rows, budget)

    moments = moments_of_rows(encoder, rows[:8], budget)

    def ablation(precision: str) -> object:
        with ablated(encoder, _some_neurons(encoder), moments):
            return final_vectors(encoder, rows, budget, precision=precision)

    def transplants(precision: str) -> object:
        return hybrids((encoder, other()), rows, places, tokens=budget, precision=precision)

    def attribution(precision: str) -> object:
        settings = AttributionSettings(target="norm", quadrature="gauss:4", precision=precision)
        return attribute_neurons(plan_attribution(short, examples[: args.attributed], settings))

    return {"encoding": encoding, "ablation": ablation, "transplants": transplants, "attribution": attribution}


def _some_neurons(encoder: Encoder) -> NeuronSet:
    """Return the first 1 % of the hidden units of every block."""
    width = encoder.backbone.config.intermediate_size
    index = tuple(range(max(1, width // 100)))
    return NeuronSet({"intermediate": dict.fromkeys(range(1, encoder.anatomy.n_blocks + 1), index)})


def _encoder(args: argparse.Namespace) -> Encoder:
    encoder = load_encoder(args.model, LoadSettings(pooling="mean", max_length=256, device="cpu"))
    if args.shape:
        kind, config = SHAPES[args.shape]
        torch.manual_seed(0)
        with torch.device(args.device):
            backbone = kind(config).eval().requires_grad_(False)
        named = {"name": f"random {args.shape}", "backbone": backbone, "anatomy": prove_anatomy(backbone)}
        encoder = replace(encoder, **named, head=nn.Identity())
    encoder.backbone.to(args.device)
    return encoder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="bfloat16", help="the lower precision")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--attributed", type=int, default=8, help="texts of the attribution")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", nargs="*", help="encoding, ablation, transplants, attribution; by default all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
