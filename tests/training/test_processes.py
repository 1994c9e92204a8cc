"""Two processes that torchrun starts train one model and leave one whole folder."""

import json
import subprocess
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer

from retroscope.collection.world.files import write_world
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from toys import save_toy


def test_torchrun(tmp_path: Path) -> None:
    world = write_world(make_world(WorldSettings(people=20, documents=2)), tmp_path / "world")
    toy, out = save_toy("bert", tmp_path / "toy"), tmp_path / "out"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--standalone",
        "-m", "retroscope", "train", str(toy), "--data", f"beir:{world}", "--strategy", "lora", "--pooling", "mean",
        "--max-length", "32", "--batch-size", "4", "--steps", "2", "--out", str(out), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["steps"] == 2, "the first process alone says what was done"
    assert json.loads((out / "training.json").read_text())["steps"] == 2
    assert not (out / "checkpoints").exists()
    assert SentenceTransformer(str(out), device="cpu").encode(["a cat"]).shape == (1, 16)
