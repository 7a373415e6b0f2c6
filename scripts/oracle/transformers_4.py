#!/usr/bin/env python3
"""What `lora` writes for transformers 5, in transformers 4: run by hand, in an environment of its own.

    python3 -m venv build/venv-4 && build/venv-4/bin/pip install transformers==4.57.1 torch==2.11.0
    build/venv-4/bin/python scripts/oracle/transformers_4.py [--lora build/release/bin/lora]

Every tiny golden model, which transformers 5 wrote, goes through `lora convert` into another folder, as a merge does, and
through `lora stack` of all its layers. transformers 4 must compute the golden logits of transformers 5 from each. Exit 1
when it does not."""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

MODELS = Path(__file__).parents[2] / "tests/golden/finetune/tiny_llama"
BOUND = 1e-5  # of the norm
# Outside of Phi-3, transformers 4 takes longrope's original length for that of the context: no key of its says otherwise.
OTHERWISE = ["longrope"]


def logits_of(folder, golden):
    """Of the documents of the first row, one after the other."""
    alibi = json.loads(Path(folder, "config.json").read_text()).get("alibi")  # eager attention scales it otherwise
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, torch_dtype=torch.float32, attn_implementation="sdpa" if alibi else "eager").eval()
    with torch.no_grad():
        return torch.cat([model(ids.unsqueeze(0), use_cache=False).logits[0]
                          for ids in golden["row0/ids"].split(golden["row0/lengths"].tolist())])


def written(lora, folder, layers, work):
    """Name and folder of each way."""
    for command in ["convert", folder], ["stack", folder, "--layers", f"0-{layers - 1}"]:
        place = work + "/" + command[0]
        subprocess.run([lora, *command, "--output", place, "--dtype", "float32", "--quiet"], check=True)
        yield command[0], place


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lora", default="build/release/bin/lora")
    options = parser.parse_args()
    if not transformers.__version__.startswith("4."):
        sys.exit(f"this is transformers {transformers.__version__}: see the beginning of this file")
    transformers.logging.set_verbosity_error()
    wrong = compared = 0
    for folder in sorted(path.parent for path in MODELS.glob("*/config.json")):
        config, golden = json.loads((folder / "config.json").read_text()), load_file(folder / "golden.safetensors")
        if "text_config" in config or folder.name in OTHERWISE:  # a wrapper is carried, not written
            continue
        with tempfile.TemporaryDirectory() as work:
            for name, place in written(options.lora, folder, config["num_hidden_layers"], work):
                said, missing = json.loads(Path(place, "config.json").read_text()), []
                if said.get("torch_dtype") != "float32" or said.get("dtype") != "float32":
                    missing.append("torch_dtype or dtype")
                try:
                    difference = float((logits_of(place, golden) - golden["base/logits"]).norm() / golden["base/logits"].norm())
                except Exception as error:  # said, and counted
                    difference, missing = float("nan"), missing + [f"{type(error).__name__}: {str(error)[:150]}"]
                compared += 1
                wrong += not difference <= BOUND or bool(missing)
                print(f"{folder.name:22}{name:9}{difference:.1e}  {', '.join(missing)}", flush=True)
    print(f"transformers {transformers.__version__}: {compared} folders, {wrong} DIFFER")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
