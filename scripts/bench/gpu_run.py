#!/usr/bin/env python3
"""What a GPU machine is asked: do the tests pass on CUDA, does it train as the CPU does, is a resumed run the same to the
last bit, and how fast is it beside transformers + peft, in bfloat16 and with the base in NF4? Called by run.sh of the bundle
that gpu_bundle.sh makes.

    gpu_run.py [--minutes 9] [--device cuda|cpu] [--results results.json]

Needs Python with torch 2.11.0; transformers and peft for the peer and the larger shapes, bitsandbytes for the peer in NF4 (a
peer that cannot be imported or fails is named and is no failure). Without a GPU the same stages run on the CPU with a tiny
shape, so that the bundle can be tried anywhere. Exit 1 when a test, a loss or a resumed run is not as it must be."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
RANK, RATE, WARM = 16, 1e-4, 3  # the first steps find cold memory and pick kernels

# Sizes as the published configs have them; rows of `length` tokens, one a step.
SHAPES = {
    "tiny": dict(length=256, steps=8, model_type="llama", hidden_size=128, intermediate_size=384, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, vocab_size=49152, tie_word_embeddings=True),
    "SmolLM2-135M": dict(length=2048, steps=20, model_type="llama", hidden_size=576, intermediate_size=1536,
                         num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152,
                         tie_word_embeddings=True),
    "Qwen3-0.6B": dict(length=4096, steps=16, model_type="qwen3", hidden_size=1024, intermediate_size=3072,
                       num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128,
                       vocab_size=151936, tie_word_embeddings=True),
    "Llama-3.1-8B": dict(length=4096, steps=10, model_type="llama", hidden_size=4096, intermediate_size=14336,
                         num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256,
                         tie_word_embeddings=False)}


def environment():
    """LibTorch is Python's own; the other libraries came along."""
    import torch
    torch_folder = pathlib.Path(torch.__file__).parent
    folders = [HERE / "lib", torch_folder / "lib", *sorted(torch_folder.parent.glob("nvidia/*/lib"))]
    path = ":".join([*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")
    return dict(os.environ, LD_LIBRARY_PATH=path, HORNBOOK_SOURCE=str(HERE))


def finetune(*words):
    done = subprocess.run([HERE / "bin/finetune", *map(str, words)], env=environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"finetune {words[0]} ended with {done.returncode}: {done.stdout[-1500:]}")


def make_model(name, folder, device):
    """Random weights of that shape in bfloat16, and SmolLM2's tokenizer, whose ids all of them have."""
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    shape = {key: value for key, value in SHAPES[name].items() if key not in ("length", "steps")}
    config = transformers.AutoConfig.for_model(**shape, max_position_embeddings=8192, bos_token_id=0, eos_token_id=0,
                                               rope_theta=500000.0)
    torch.manual_seed(1)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    parameters = sum(p.numel() for p in model.parameters())
    for file in (HERE / "tokenizer").iterdir():
        shutil.copy(file, folder)
    return parameters


class PeakMemory:
    """The most memory of the GPU in use beyond what was when it began: of all processes, asked ten times a second."""

    def __init__(self, device):
        self.device, self.peak, self.stop = device, 0, threading.Event()

    def used(self):
        import torch
        free, total = torch.cuda.mem_get_info()
        return total - free

    def watch(self, before):
        while not self.stop.wait(0.1):
            self.peak = max(self.peak, self.used() - before)

    def __enter__(self):
        if self.device == "cuda":
            self.thread = threading.Thread(target=self.watch, args=(self.used(),))
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.device == "cuda":
            self.stop.set()
            self.thread.join()


def train(model, folder, length, steps, device, dtype, quantization="none"):
    finetune("train", "--model", model, "--data", HERE / "texts.jsonl", "--output", folder, "--overwrite", "--steps",
             steps, "--max-length", length, "--rows-per-batch", 1, "--learning-rate", RATE, "--lora.rank", RANK,
             "--lora.alpha", 2 * RANK, "--schedule", "constant", "--warmup-ratio", 0, "--validation-share", 0,
             "--device", device, "--dtype", dtype, "--quantization", quantization, "--allow-no-end", "--quiet")
    return [json.loads(line) for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()]


def peer(model, length, steps, device, quantization):
    """The same texts, rank and rate with transformers + peft: losses and tokens a second of each step."""
    import peft
    import torch
    import transformers
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(HERE / "tokenizer/tokenizer.json"))
    rows = [tokenizer(json.loads(line)["text"], add_special_tokens=False)["input_ids"][:length]
            for line in open(HERE / "texts.jsonl")]
    more = {}
    if quantization == "nf4":
        import bitsandbytes  # noqa: F401, says what is missing by its name
        more = dict(device_map=device, quantization_config=transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16))
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16, attn_implementation="sdpa",
                                                                **more)
    network = peft.get_peft_model(network if more else network.to(device), peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, task_type="CAUSAL_LM",
                                                                      target_modules="all-linear"))
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0, fused=device == "cuda")
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for step in range(steps):
        wait()
        begun = time.perf_counter()
        ids = torch.tensor([rows[step % len(rows)]], device=device)
        loss = network(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        value = loss.item()
        print(json.dumps({"loss": value, "tokens_per_second": ids.numel() / (time.perf_counter() - begun)}), flush=True)


def peer_lines(model, length, steps, device, quantization):
    words = json.dumps([str(model), length, steps, device, quantization])
    done = subprocess.run([sys.executable, __file__, "--peer", words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], ""


def product_rate(device):
    """TFLOP/s of a plain matrix product in bfloat16: what the shares are of."""
    import torch
    size = 8192 if device == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    for _ in range(20):
        wait()
        begun = time.perf_counter()
        a @ b
        wait()
        times.append(time.perf_counter() - begun)
    return 2 * size ** 3 / statistics.median(times) / 1e12


def flops_of_a_token(name, parameters):
    """Of LoRA training: forward and the gradient of the inputs, two products each; attention sees half of the row."""
    shape = SHAPES[name]
    embedding = 0 if shape["tie_word_embeddings"] else shape["vocab_size"] * shape["hidden_size"]
    query = shape["num_attention_heads"] * shape.get("head_dim", shape["hidden_size"] // shape["num_attention_heads"])
    return 4 * (parameters - embedding) + 6 * shape["num_hidden_layers"] * query * shape["length"]


def rate_of(lines):
    return statistics.median(line["tokens_per_second"] for line in lines[WARM:])


class Report:
    def __init__(self, path, minutes):
        self.path, self.facts, self.wrong = path, {}, []
        self.end = time.monotonic() + 60 * minutes

    def left(self):
        return self.end - time.monotonic()

    def stage(self, name, function, needs=0):
        if self.left() < needs:
            print(f"== {name}: left out, {self.left():.0f} s are left", flush=True)
            self.facts[name] = "left out: no time"
            return
        print(f"== {name}", flush=True)
        begun = time.monotonic()
        try:
            self.facts[name] = function()
            print(f"   {json.dumps(self.facts[name])}", flush=True)
        except Exception as error:  # the next stages are worth running
            self.facts[name] = {"failed": str(error)}
            self.wrong.append(name)
            print(f"   FAILED: {error}", flush=True)
        print(f"   {time.monotonic() - begun:.0f} s", flush=True)
        self.path.write_text(json.dumps(self.facts, indent=1) + "\n")


def tests(device):
    words = [HERE / "bin/finetune_test", "--gtest_brief=1", "--gtest_filter=*TinyLlama*:ParityCanFail*:Device*:PackedAttention*:CachedAttention*"]
    done = subprocess.run(words, env=environment() | {"HORNBOOK_TEST_DEVICE": device}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-3000:])
    return done.stdout.strip().splitlines()[-2:]


def ten_steps(work, device):
    if device == "cpu":
        return "there is no GPU to compare with"
    make_model("tiny", work / "tiny", "cpu")
    losses = {}
    for place in ("cpu", device):
        lines = train(work / "tiny", work / f"ten_{place}", 256, 10, place, "float32")
        losses[place] = [line["loss"] for line in lines]
    gap = max(abs(a - b) for a, b in zip(losses["cpu"], losses[device], strict=True))
    if not gap <= 1e-3:
        raise RuntimeError(f"the losses of the CPU and of {device} differ by {gap}: {losses}")
    return {"largest difference of a loss": gap, "losses": losses[device]}


def resume(device):
    done = subprocess.run([sys.executable, HERE / "kill_resume_finetune.py", HERE / "bin/finetune", "--device", device,
                           "--seconds", "45", "--ends", "0", "--longest", "600"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-1500:])
    return done.stdout.strip()


def speed_beside_peer(name, parameters, folder, work, device, product, quantization):
    shape = SHAPES[name]
    with PeakMemory(device) as memory:
        lines = train(folder, work / "run", shape["length"], shape["steps"], device, "bfloat16", quantization)
    ours = rate_of(lines)
    per_token = flops_of_a_token(name, parameters)
    facts = {"tokens/s": round(ours), "model TFLOP/s": round(ours * per_token / 1e12, 2),
             "share of the product": round(ours * per_token / 1e12 / product, 3)}
    if device == "cuda":
        facts["peak GB"] = round(memory.peak / 1e9, 2)
    theirs, problem = peer_lines(folder, shape["length"], shape["steps"], device, quantization)
    if theirs is None:
        return facts | {"peft": f"failed: {problem}"}
    gap = abs(theirs[0]["loss"] - lines[0]["loss"])
    if not gap < 0.02:
        raise RuntimeError(f"the first losses differ: {lines[0]['loss']} and peft's {theirs[0]['loss']}")
    return facts | {"peft tokens/s": round(rate_of(theirs)), "ratio": round(ours / rate_of(theirs), 2),
                    "first losses": [lines[0]["loss"], theirs[0]["loss"]]}


def speed(name, work, device, product):
    folder = work / name
    parameters = make_model(name, folder, device)
    if device == "cuda":
        import torch
        torch.cuda.empty_cache()
    try:
        return {"parameters": parameters, "tokens a step": SHAPES[name]["length"]} | {
            form: speed_beside_peer(name, parameters, folder, work, device, product, quantization)
            for form, quantization in (("bfloat16", "none"), ("nf4", "nf4"))}
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--device", choices=["cuda", "cpu"])
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("results.json"))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(*json.loads(options.peer))
    import torch
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU is used"
    print(f"torch {torch.__version__}, {name}", flush=True)
    if not torch.__version__.startswith("2.11."):
        sys.exit(f"torch {torch.__version__} is not 2.11, which these programs were built with: pip install torch==2.11.0")
    report = Report(options.results, options.minutes)
    report.facts |= {"device": name, "torch": torch.__version__}
    with tempfile.TemporaryDirectory(prefix="hornbook_gpu_") as work:
        work = pathlib.Path(work)
        report.stage("tests", lambda: tests(device))
        report.stage("ten steps as on the CPU", lambda: ten_steps(work, device))
        report.stage("killed and resumed", lambda: resume(device))
        product = product_rate(device)
        report.facts["TFLOP/s of a product in bfloat16"] = product
        print(f"a product in bfloat16: {product:.1f} TFLOP/s", flush=True)
        for shape, needs in (("Llama-3.1-8B", 240), ("Qwen3-0.6B", 90), ("SmolLM2-135M", 60)) if device == "cuda" else (
                ("tiny", 20),):
            report.stage(shape, lambda: speed(shape, work, device, product), needs)
    options.results.write_text(json.dumps(report.facts, indent=1) + "\n")
    print("wrong: " + ", ".join(report.wrong) if report.wrong else "all stages are as they must be")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
