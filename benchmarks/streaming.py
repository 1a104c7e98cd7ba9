"""Memory and time of compressing checkpoints that do not fit: cost grows with their size, memory does not.

    python benchmarks/streaming.py [--sizes 1.6 3.3 13] [--methods rtn awq] [--shard 2] [--folder DIR]

Makes Llama-shaped checkpoints of random bfloat16 weights in safetensors shards of ``--shard`` GB, compresses each in a
process of its own, and deletes them. *Anonymous* memory is what the process itself holds; *file* pages are parts of the
checkpoint that the kernel keeps while it has room, and drops when it has not. Both are read every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

SHAPES = {
    1.6: {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 13, "num_attention_heads": 16},
    3.3: {"hidden_size": 2560, "intermediate_size": 6912, "num_hidden_layers": 18, "num_attention_heads": 20},
    13.0: {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 31, "num_attention_heads": 32},
}
"""GB of the checkpoint -> its shape; 32,000 tokens, head not tied."""
VOCABULARY = 32_000
TOKENS = 512
LIMIT_GB = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.6, 3.3], choices=sorted(SHAPES))
    parser.add_argument("--methods", nargs="+", default=["rtn", "awq"])
    parser.add_argument("--shard", type=float, default=2.0, help="GB of a file at most")
    parser.add_argument("--folder", type=Path, help="where checkpoints are made (default: the temporary folder)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker, args.threads)
        return
    print(f"{TOKENS} calibration tokens for awq, {args.threads} threads, shards of {args.shard:g} GB\n")
    print("checkpoint  method  seconds  seconds/GB  peak anonymous GB  peak file GB")
    for size in sorted(args.sizes):
        with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
            folder = Path(temporary)
            if shutil.disk_usage(folder).free < 1.6e9 * size:
                raise SystemExit(
                    f"{size} GB and its artifact do not fit on the disk of {folder}; name another --folder."
                )
            make(folder / "model", size, args.shard)
            for method in args.methods:
                command = [sys.executable, __file__, "--threads", str(args.threads), "--worker", method]
                command += [str(folder / "model"), str(folder / method)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                shutil.rmtree(folder / method)
                found = json.loads(done.stdout.splitlines()[-1])
                over = "" if found["anonymous"] <= LIMIT_GB else f"   over the aim of {LIMIT_GB:g} GB"
                print(
                    f"{size:7.1f} GB  {method:6}  {found['seconds']:7.1f}  {found['seconds'] / size:10.1f}  "
                    f"{found['anonymous']:17.2f}  {found['file']:12.2f}{over}",
                    flush=True,
                )


def make(folder: Path, gigabytes: float, shard: float) -> None:
    """A checkpoint of random weights, its files filled tensor by tensor."""
    import torch
    from safetensors.torch import save_file

    shape = SHAPES[gigabytes]
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "num_key_value_heads": shape["num_attention_heads"],
        "max_position_embeddings": 4096,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        **shape,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    generator = torch.Generator().manual_seed(0)
    files: list[dict[str, torch.Tensor]] = [{}]
    places, held = {}, 0
    for name, size in tensors(shape):
        ones = name.endswith("norm.weight")
        value = torch.ones(size) if ones else torch.randn(size, generator=generator).mul_(0.02)
        value = value.bfloat16()
        if held + value.nbytes > 1e9 * shard:
            save_file(files[-1], folder / f"model-{len(files):05}.safetensors", {"format": "pt"})
            files[-1].clear()
            files.append({})
            held = 0
        files[-1][name] = value
        held += value.nbytes
        places[name] = f"model-{len(files):05}.safetensors"
    save_file(files[-1], folder / f"model-{len(files):05}.safetensors", {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def tensors(shape: dict[str, int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    yield "model.embed_tokens.weight", (VOCABULARY, hidden)
    for layer in range(shape["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name in "qkvo":
            yield f"{prefix}.self_attn.{name}_proj.weight", (hidden, hidden)
        yield f"{prefix}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{prefix}.mlp.up_proj.weight", (inner, hidden)
        yield f"{prefix}.mlp.down_proj.weight", (hidden, inner)
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (VOCABULARY, hidden)


def work(method: str, model: str, out: str, threads: int) -> None:
    """Compress once and print seconds and peaks."""
    import torch

    import methods
    from methods.base import Calibration, Source

    torch.set_num_threads(threads)
    tokens = torch.randint(VOCABULARY, (2, TOKENS // 2), generator=torch.Generator().manual_seed(1))
    calibration = Calibration(tokens, ("en", "en"), {"en": 1.0}, "benchmark")
    given = calibration if methods.needs(method) else None
    peaks = {"RssAnon": 0.0, "RssFile": 0.0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(":")
                if name in peaks:
                    peaks[name] = max(peaks[name], int(value.split()[0]) * 1024 / 1e9)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    methods.load(method)().compress(Source(Path(model), "benchmark", "bfloat16"), given, Path(out))
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    print(json.dumps({"seconds": seconds, "anonymous": peaks["RssAnon"], "file": peaks["RssFile"]}))


if __name__ == "__main__":
    main()
