"""Neuron attribution against the published loop, on the same texts in the same process.

    python benchmarks/neurons.py --model MODEL --texts FILE                    # a real model
    python benchmarks/neurons.py --model MODEL --shape bert-base --texts FILE  # a random one of that shape
    python benchmarks/neurons.py --model MODEL --shape llama-7b --texts FILE --device cuda --precision tf32
    python benchmarks/neurons.py --model MODEL --texts FILE --scaling          # cost and memory by size

MODEL also lends its tokenizer to the random shapes. The target is the norm of the embedding, as published. The
published loop may be timed on some of its alphas and texts only (`--alphas`, `--published-texts`): each costs the
same, so its time is that times the share that was run; counts are compared only where it ran in full.
"""

import argparse
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from published_neurons import published_attribution
from rates import ATTENTION, SHAPES
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import text_examples
from retroscope.attribution.integrals.methods import METHODS
from retroscope.attribution.integrals.quadrature import quadrature
from retroscope.attribution.plan import AttributionPlan, work_of
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.sites import Site, find_sites
from retroscope.encoders.architecture.anatomy import prove_anatomy
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings

THRESHOLD = 0.1
KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "linear"),
    "attention": ("scaled_dot_product", "softmax"),
    "activation": ("gelu", "silu"),
    "norms": ("layer_norm", "rsqrt", "rms_norm"),
}


@dataclass(frozen=True)
class Published:
    """The published loop: seconds a text for all alphas, and the values of the texts that ran in full."""

    seconds: float
    values: list[dict[Site, Tensor]]


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    encoder, texts = _encoder(args), args.texts.read_text("utf-8").splitlines()
    if args.scaling:
        scaling(encoder, texts)
        return
    texts = texts[: args.n_texts]
    lengths = [len(row) for row in encoder.tokenizer(texts, truncation=True, max_length=256)["input_ids"]]
    print(f"{encoder.name} on {args.device}, {args.threads} threads, {args.precision}")
    print(f"{len(texts)} texts of {lengths} tokens")
    rate = product_rate(encoder, args)
    few = texts[: args.reference_texts]
    exact = run(encoder, few, "gauss:64", "float32")[0] if few else []
    rules = {rule: run(encoder, texts, rule, args.precision) for rule in args.rules.split(",")}
    rate = max(rate, product_rate(encoder, args))  # the machine may be another's for a while: the better of two
    print(f"measured matrix-product rate: {rate / 1e9:,.0f} GFLOP/s")
    flops = operations(encoder, texts)
    for rule, (values, seconds) in rules.items():
        error = f", error {error_of(values, exact):.1e} against gauss:64" if exact else ""  # of the first texts
        share = flops(len(quadrature(rule).rules[0].nodes)) / seconds / rate
        print(f"ours, {rule}: {seconds / len(texts):.3f} s a text{error}; {share:.0%} of the rate", flush=True)
    where_it_goes(encoder, texts[: args.published_texts], args.rules.split(",")[0], args.precision)
    for way in ("all gradients", "one gradient"):
        compare(encoder, texts, args, way, rules)


def compare(
    encoder: Encoder,
    texts: list[str],
    args: argparse.Namespace,
    way: str,
    rules: dict[str, tuple[list[dict[Site, Tensor]], float]],
) -> None:
    """The published loop beside every rule."""
    loop = published(encoder, texts[: args.published_texts], args.alphas, way == "all gradients")
    print(f"published loop ({way}): {loop.seconds:.2f} s a text")
    for rule, (values, seconds) in rules.items():
        same = ""
        if rule == "ielab-20" and loop.values:
            same = f"; counts at {THRESHOLD} that differ: {differing(values, loop.values)}"
        print(f"  {rule}: {loop.seconds / (seconds / len(texts)):.1f} x{same}", flush=True)


def run(encoder: Encoder, texts: list[str], rule: str, precision: str) -> tuple[list[dict[Site, Tensor]], float]:
    """Values of every text, and seconds."""
    plan = _plan(encoder, texts, rule, precision)
    found: list[dict[Site, Tensor]] = [{} for _ in texts]
    _sync(encoder)
    start = perf_counter()
    for batch in plan.batches:
        values = METHODS["weight_path"](work_of(plan, batch, plan.row_tokens))
        for site, value in values.items():
            for unit, row in zip(batch, value.magnitude, strict=True):
                found[unit][site] = row
    _sync(encoder)
    return found, perf_counter() - start


def operations(encoder: Encoder, texts: list[str]) -> Callable[[int], float]:
    """Nodes -> floating-point operations: counted for one node and for two, and linear in them."""
    counted = []
    for nodes in (1, 2):
        plan = _plan(encoder, texts, f"gauss:{nodes}", "float32")
        with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
            for batch in plan.batches:
                METHODS["weight_path"](work_of(plan, batch, plan.row_tokens))
        counted.append(float(counter.get_total_flops()))
    return lambda nodes: counted[0] + (nodes - 1) * (counted[1] - counted[0])


def published(encoder: Encoder, texts: list[str], alphas: int, everything: bool) -> Published:
    """The published loop over `alphas` of its 20 steps."""
    steps = np.linspace(1e-6, 1, 20)[:: max(1, 20 // alphas)][:alphas]
    for parameter in encoder.backbone.parameters():
        parameter.requires_grad_(everything)
    values: list[dict[Site, Tensor]] = []
    start = perf_counter()
    for text in texts:
        embed = _embedding(encoder, text)
        values.append(
            {site: _one(encoder, site, embed, steps) for site in find_sites(encoder, ("intermediate", "output"))}
        )
    _sync(encoder)
    seconds = (perf_counter() - start) / len(texts) * 20 / len(steps)
    for parameter in encoder.backbone.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    return Published(seconds, values if alphas == 20 else [])


def _one(encoder: Encoder, site: Site, embed: Callable[[], Tensor], steps: np.ndarray) -> Tensor:
    matrix = encoder.backbone.get_submodule(site.path)
    kept = matrix.weight.requires_grad
    matrix.weight.requires_grad_(True)
    values = published_attribution(matrix, embed, steps)
    matrix.weight.requires_grad_(kept)
    return values


def _embedding(encoder: Encoder, text: str) -> Callable[[], Tensor]:
    row = encoder.tokenizer(text, truncation=True, max_length=encoder.recipe.max_length)["input_ids"]
    ids = torch.tensor([row], device=encoder.device)
    return lambda: encoder.backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0)


def error_of(found: list[dict[Site, Tensor]], exact: list[dict[Site, Tensor]]) -> float:
    """Mean over texts and matrices of |a - exact| / exact, summed over neurons."""
    ratios = [
        float((a[site] - b[site]).abs().sum() / b[site].sum()) for a, b in zip(found, exact, strict=False) for site in a
    ]
    return sum(ratios) / len(ratios)


def differing(ours: list[dict[Site, Tensor]], theirs: list[dict[Site, Tensor]]) -> str:
    """Active sets of every text against the published ones."""
    different = total = 0
    for mine, published in zip(ours, theirs, strict=False):
        tops = [max(float(v.max()) for v in values.values()) for values in (mine, published)]
        for site in mine:
            active = [v[site] / top >= THRESHOLD for v, top in zip((mine, published), tops, strict=True)]
            different += int((active[0] != active[1]).sum())
            total += len(mine[site])
    return f"{different} of {total}"


def product_rate(encoder: Encoder, args: argparse.Namespace) -> float:
    """Operations a second of plain matrix products of the model's own shape, at the precision used."""
    dim, inner = encoder.backbone.config.hidden_size, encoder.backbone.config.intermediate_size
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(args.precision, torch.float32)
    torch.set_float32_matmul_precision("high" if args.precision == "tf32" else "highest")
    a, b = (torch.randn(*shape, device=encoder.device, dtype=dtype) for shape in ((4096, dim), (dim, inner)))
    best = float("inf")
    for _ in range(12):
        _sync(encoder)
        start = perf_counter()
        for _ in range(10):
            a @ b
        _sync(encoder)
        best = min(best, perf_counter() - start)
    torch.set_float32_matmul_precision("highest")
    return 10 * 2 * 4096 * dim * inner / best


def where_it_goes(encoder: Encoder, texts: list[str], rule: str, precision: str) -> None:
    """Share of the time by kind of operation."""
    plan = _plan(encoder, texts, rule, precision)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if encoder.device.type == "cuda" else [])
    start = perf_counter()
    with profile(activities=activities) as taken:
        for batch in plan.batches:
            METHODS["weight_path"](work_of(plan, batch, plan.row_tokens))
        _sync(encoder)
    wall = perf_counter() - start
    on = "self_device_time_total" if encoder.device.type == "cuda" else "self_cpu_time_total"
    spent = dict.fromkeys([*KINDS, "other operations"], 0.0)
    for event in taken.key_averages():
        name = event.key.removeprefix("aten::").removeprefix("_")
        kind = next((k for k, names in KINDS.items() if name.startswith(names)), "other operations")
        spent[kind] += getattr(event, on) / 1e6
    parts = ", ".join(f"{kind} {seconds / wall:.0%}" for kind, seconds in spent.items())
    print(f"where the time of {rule} goes (under the profiler): {parts}")


def scaling(encoder: Encoder, texts: list[str]) -> None:
    """Seconds by texts, tokens and nodes, each alone; peak memory by texts."""
    long = [text for text in texts if len(encoder.tokenizer(text)["input_ids"]) >= 128]
    for name, sizes in (("texts", (4, 8, 16)), ("nodes", (4, 8, 16)), ("tokens", (32, 64, 128))):
        rows = []
        for size in sizes:
            n = size if name == "texts" else 4
            length = size if name == "tokens" else 64
            cut = replace(encoder, recipe=encoder.recipe.but("benchmark", max_length=length))
            rows.append(run(cut, long[:n], f"gauss:{size if name == 'nodes' else 4}", "float32")[1])
        slope = np.polyfit(np.log(sizes), np.log(rows), 1)[0]
        print(f"{name} {sizes}: {', '.join(f'{s:.2f} s' for s in rows)}; grows as {name}^{slope:.2f}", flush=True)
    short = replace(encoder, recipe=encoder.recipe.but("benchmark", max_length=32))
    for n in (20, 200):
        attribute_neurons(_plan(short, texts[:n], "gauss:1", "float32"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory of the process after {n} texts: {peak:,.1f} MiB", flush=True)


def _plan(encoder: Encoder, texts: list[str], rule: str, precision: str) -> AttributionPlan:
    settings = AttributionSettings(target="norm", quadrature=rule, precision=precision)
    return plan_attribution(encoder, text_examples([str(i) for i in range(len(texts))], texts), settings)


def _encoder(args: argparse.Namespace) -> Encoder:
    encoder = load_encoder(args.model, LoadSettings(pooling="mean", max_length=256, device="cpu"))
    if args.shape:
        kind, config = SHAPES[args.shape]
        torch.manual_seed(0)
        with torch.device(args.device):
            backbone = kind(config).eval().requires_grad_(False)
        named = {"name": f"random {args.shape}", "backbone": backbone, "anatomy": prove_anatomy(backbone)}
        return replace(encoder, **named, head=nn.Identity())
    encoder.backbone.to(args.device)
    return encoder


def _sync(encoder: Encoder) -> None:
    if encoder.device.type == "cuda":
        torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", type=Path, required=True, help="one a line")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--n-texts", type=int, default=8)
    parser.add_argument("--rules", default="gauss:3,gauss:4,gauss:6,ielab-20")
    parser.add_argument("--published-texts", type=int, default=8)
    parser.add_argument("--alphas", type=int, default=20, help="of the published loop's 20")
    parser.add_argument("--reference-texts", type=int, default=8, help="texts of the error against 64 Gauss nodes")
    parser.add_argument("--scaling", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
