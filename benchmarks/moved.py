"""How fast are diff, its spectra and transplants? Against reading the files, and encoding anew for every hybrid.

    python benchmarks/moved.py diff --out DIR              # a random LLaMA pair of a billion weights, 4.3 GB on disk
    python benchmarks/moved.py diff --out DIR --blocks 4   # smaller
    python benchmarks/moved.py spectra --width 768         # of one block's matrices of a model, on one thread
    python benchmarks/moved.py transplant --before FOLDER --after FOLDER --data beir:PATH

diff: the pair is written once, in bfloat16; then by turns both files are read from beginning to end and compared
without spectra, from the disk (the system is asked to forget them first) and from memory. Printed: bytes a second of
both, and the ratio of the medians. spectra: seconds of ranks and directions, and of intruder dimensions, for one
block's matrices (four of width x width, and three of 4 width x width, as LLaMA has). transplant: every hybrid of the
sweep, in both directions, over a sample of passages, ours against a whole encoding of each, one after the other: its
weights written into a copy, the texts tokenised, encoded; with and without the copying and tokenising; and how far the
vectors are apart.
"""

import argparse
import copy
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from safetensors.torch import save_file

from retroscope.collection.loading import load_collection
from retroscope.drift.intruders import intruders
from retroscope.drift.settings import DIRECTIONS
from retroscope.drift.spectrum import dense_directions, spectrum
from retroscope.drift.weights import diff_weights
from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.surgery.hybrids import hybrids
from retroscope.surgery.transplant import named, sweep

WIDTH, INNER, VOCABULARY = 2048, 8192, 32_000  # of a LLaMA of a billion weights with 16 blocks
READ = 2**24  # bytes at a time


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["diff", "spectra", "transplant"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--after", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--passages", type=int, default=300)
    parser.add_argument("--groups", type=int, default=0)
    chosen = parser.parse_args()
    {"diff": measure_diff, "spectra": measure_spectra, "transplant": measure_transplants}[chosen.what](chosen)


def measure_spectra(chosen: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    total = [0.0, 0.0]
    for rows, columns, times in ((1, 1, 4), (4, 1, 2), (1, 4, 1)):
        before, change = (
            torch.randn(rows * chosen.width, columns * chosen.width, generator=generator) for _ in range(2)
        )
        taken = [
            seconds(lambda w=before, d=change: spectrum(w, dense_directions(d, DIRECTIONS)), []),
            seconds(lambda w=before, d=change: intruders(w, d, "w"), []),
        ]
        print(f"{tuple(before.shape)}: ranks and directions {taken[0]:.2f} s, intruders {taken[1]:.2f} s", flush=True)
        total = [one + times * another for one, another in zip(total, taken, strict=True)]
    print(f"a block of width {chosen.width}: {total[0]:.1f} s and {total[1]:.1f} s on one thread")


def measure_diff(chosen: argparse.Namespace) -> None:
    folders = [chosen.out / name for name in ("before", "after")]
    for seed, folder in enumerate(folders):
        if not (folder / "model.safetensors").is_file():
            write_random(folder, chosen.blocks, seed)
    files = [folder / "model.safetensors" for folder in folders]
    size = sum(file.stat().st_size for file in files)
    for place in ("disk", "memory"):
        read, compared = [], []
        for _ in range(chosen.rounds):
            read.append(size / seconds(lambda: [read_whole(file) for file in files], files if place == "disk" else []))
            work = lambda: diff_weights(*map(open_weights, folders), spectra=False)  # noqa: E731
            compared.append(size / seconds(work, files if place == "disk" else []))
            print(f"{place}: read {read[-1] / 1e9:.2f} GB/s, diff {compared[-1] / 1e9:.2f} GB/s", flush=True)
        share = median(compared) / median(read)
        print(f"{size / 4e9:.2f} billion weights, from {place}: diff at {share:.2f} of the read rate", flush=True)


def seconds(work: Callable[[], object], forgotten: list[Path]) -> float:
    """Of work that begins with none of these files in memory."""
    for file in forgotten:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = perf_counter()
    work()
    return perf_counter() - start


def read_whole(file: Path) -> None:
    buffer = bytearray(READ)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(buffer):
            pass


def write_random(folder: Path, blocks: int, seed: int) -> None:
    """A LLaMA folder of random bfloat16 weights, without a tokenizer."""
    from transformers import LlamaConfig

    folder.mkdir(parents=True)
    LlamaConfig(hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=blocks, num_attention_heads=32,
                num_key_value_heads=8, vocab_size=VOCABULARY).save_pretrained(folder)  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    kv = WIDTH // 4
    shapes = {"embed_tokens.weight": (VOCABULARY, WIDTH), "norm.weight": (WIDTH,)}
    for k in range(blocks):
        inner = {"self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (kv, WIDTH), "self_attn.v_proj": (kv, WIDTH),
                 "self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH),
                 "mlp.down_proj": (WIDTH, INNER), "input_layernorm": (WIDTH,),
                 "post_attention_layernorm": (WIDTH,)}  # fmt: skip
        shapes |= {f"layers.{k}.{name}.weight": shape for name, shape in inner.items()}
    tensors = {name: (torch.randn(shape, generator=generator) / 50).bfloat16() for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def measure_transplants(chosen: argparse.Namespace) -> None:
    load = LoadSettings(pooling="mean")
    pair = (load_encoder(chosen.before, load), load_encoder(chosen.after, load))
    collection = load_collection(chosen.data)
    texts = [collection.passage_text(p) for p in list(collection.passages)[: chosen.passages]]
    names = sweep(pair[0].anatomy.n_blocks, groups=chosen.groups)
    wanted = [(receiver, name) for receiver in (0, 1) for name in names]
    ours, encoded, whole = [], [], []
    for _ in range(chosen.rounds):
        start = perf_counter()
        found = hybrids(pair, tokenise(pair[0], texts), wanted)
        ours.append(perf_counter() - start)
        naive, encoding, start = {}, 0.0, perf_counter()
        for receiver, name in wanted:
            hybrid = written_out(pair[receiver], pair[1 - receiver], name)
            rows = tokenise(hybrid, texts)
            begun = perf_counter()
            naive[receiver, name] = final_vectors(hybrid, rows)
            encoding += perf_counter() - begun
        encoded.append(encoding)
        whole.append(perf_counter() - start)
        print(f"ours {ours[-1]:.1f} s; anew {whole[-1]:.1f} s, {encoded[-1]:.1f} s of it encoding", flush=True)
    worst = max(float((found[w] - naive[w]).abs().max() / naive[w].abs().max()) for w in wanted)
    print(
        f"{len(wanted)} hybrids of {len(texts)} passages: {median(whole) / median(ours):.2f} x faster than anew; "
        f"{median(encoded) / median(ours):.2f} x without their copying and tokenising"
    )
    print(f"largest difference {worst:.1e} of the largest coordinate")


@torch.no_grad()
def written_out(receiver: Encoder, donor: Encoder, name: str) -> Encoder:
    """A copy of the receiver with the donor's weights written in."""
    hybrid = replace(receiver, backbone=copy.deepcopy(receiver.backbone))
    transplant, theirs = named(name, receiver.anatomy.n_blocks), dict(donor.backbone.named_parameters())
    for key, value in hybrid.backbone.named_parameters():
        block, part = receiver.anatomy.part_of(key)
        layer = block + 1 if block is not None else 0 if part == "embedding" else receiver.anatomy.n_blocks
        if transplant.share is not None:
            value.lerp_(theirs[key], transplant.share)
        elif transplant.donates(layer, part):
            value.copy_(theirs[key])
    return hybrid


if __name__ == "__main__":
    main()
