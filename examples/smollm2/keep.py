"""What is kept of a training: the adapter in half precision, its configuration, settings, curve and card.

    python examples/smollm2/keep.py OUT/retriever examples/smollm2/adapter

The base and its tokenizer are not ours to keep: the configuration names the file, and whoever loads the adapter says
where it is (`--set after.load.base=FILE`). Folders of the machine that trained it are taken out of the texts.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

LOADING = """Only the adapter is kept here. With the base (see `repeat.sh`):

```
retroscope retrieve examples/smollm2/adapter --set after.load.base=SmolLM2-135M-Instruct.Q4_1.gguf --data beir:PATH \\
  --pooling last_token --append-eos --max-length 256 \\
  --query-prompt "query: " --passage-prompt "passage: "
```
"""
BASE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    """Write the folder."""
    trained, kept = map(Path, sys.argv[1:3])
    kept.mkdir(parents=True, exist_ok=True)
    tensors = load_file(trained / "adapter_model.safetensors")
    save_file({name: value.half() for name, value in tensors.items()}, kept / "adapter_model.safetensors")
    config = json.loads((trained / "adapter_config.json").read_text())
    (kept / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": BASE}, indent=2) + "\n")
    about = json.loads((trained / "training.json").read_text())
    chosen = about["settings"]
    for named in (chosen["backbone"], chosen["data"], *chosen["test"], about["data"]):
        named["source"] = without_folders(named["source"])
    (kept / "training.json").write_text(json.dumps(about, indent=1) + "\n")
    card = (trained / "README.md").read_text().replace(config["base_model_name_or_path"], BASE)
    card = card[: card.index("```python")] + LOADING
    (kept / "README.md").write_text(card)
    (kept / "adapter_model.safetensors").chmod(0o644)


def without_folders(source: str) -> str:
    """A path or FORMAT:PATH by its last name."""
    form, colon, path = source.rpartition(":")
    return f"{form}{colon}{Path(path).name}"


if __name__ == "__main__":
    main()
