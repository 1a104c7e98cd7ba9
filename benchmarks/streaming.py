"""Memory and time of compressing checkpoints that do not fit: cost grows with their size, memory does not.

    python benchmarks/streaming.py [--sizes 1.6 3.3 13] [--methods rtn awq] [--shard 2] [--threads 2]
                                   [--blocks N] [--kill]

Makes Llama-shaped checkpoints of random bfloat16 weights in safetensors shards of ``--shard`` GB, compresses each in a
process of its own, and deletes them. *Anonymous* memory is what the process itself holds; *file* pages are parts of the
checkpoint that the kernel keeps while it has room, and drops when it has not. Both are read every 20 ms. *CPU seconds*
are those that the process computed: on a machine that does other things too, seconds tell less.

``--blocks 2`` makes the first two blocks of each checkpoint only: enough to see what memory is needed, not what time.

``--kill`` compresses once more, ends that with ``kill -9`` when half of the blocks are on disk, and takes it up again:
the artifact has to be the same, and the blocks that were there untouched.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
HEADINGS = "checkpoint  method  seconds  CPU seconds  CPU s/GB  peak anonymous GB  peak file GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.6, 3.3], choices=sorted(SHAPES))
    parser.add_argument("--methods", nargs="+", default=["rtn", "awq"])
    parser.add_argument("--shard", type=float, default=2.0, help="GB of a file at most")
    parser.add_argument("--folder", type=Path, help="where checkpoints are made (default: the temporary folder)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, help="only so many of each checkpoint's")
    parser.add_argument("--kill", action="store_true", help="kill a compression in the middle, too, and resume it")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker, args.threads)
        return
    shapes = {
        size: {**shape, "num_hidden_layers": args.blocks or shape["num_hidden_layers"]}
        for size, shape in SHAPES.items()
    }
    print(f"{TOKENS} calibration tokens for awq, threads: {args.threads}, shards of {args.shard:g} GB\n\n{HEADINGS}")
    for size in sorted(args.sizes):
        with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
            folder = Path(temporary)
            shape = shapes[size]
            size = 2 * sum(math.prod(dims) for _, dims in tensors(shape)) / 1e9
            if shutil.disk_usage(folder).free < 1.6e9 * size:
                raise SystemExit(
                    f"{size:.2f} GB and its artifact do not fit on the disk of {folder}; name another --folder."
                )
            make(folder / "model", shape, args.shard)
            for method in args.methods:
                command = [sys.executable, __file__, "--threads", str(args.threads), "--worker", method]
                command += [str(folder / "model"), str(folder / method)]
                found = finished(command)
                over = "" if found["anonymous"] <= LIMIT_GB else f"   over the aim of {LIMIT_GB:g} GB"
                print(
                    f"{size:7.2f} GB  {method:6}  {found['seconds']:7.1f}  {found['cpu']:11.1f}  "
                    f"{found['cpu'] / size:8.1f}  {found['anonymous']:17.2f}  {found['file']:12.2f}{over}",
                    flush=True,
                )
                shutil.rmtree(folder / method)
                if args.kill:
                    print(f"            {method:6}  {interrupted(command, folder / method, found)}", flush=True)
                    shutil.rmtree(folder / method)


def finished(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def interrupted(command: list[str], folder: Path, whole: dict[str, Any]) -> str:
    """Kill a compression at half of its blocks and resume it; what came of it, in words."""
    artifact, half = folder / "artifact", whole["blocks"] // 2
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(blocks(artifact)) < half and child.poll() is None:
        time.sleep(0.02)
    child.kill()
    if child.wait() == 0:
        raise SystemExit("The compression had ended before it could be killed.")
    before = blocks(artifact)
    found = finished(command)
    after = blocks(artifact)
    assert found["digest"] == whole["digest"], "the resumed artifact is another one"
    assert all(after[name] == when for name, when in before.items()), "a finished block was written again"
    return (
        f"killed with {len(before)} of {len(after)} blocks on disk; resumed in {found['cpu']:.1f} CPU seconds, "
        "the same artifact, no block twice"
    )


def blocks(artifact: Path) -> dict[str, int]:
    """Name of a finished block's file -> when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in artifact.glob("block-*.safetensors")}


def make(folder: Path, shape: dict[str, int], shard: float) -> None:
    """A checkpoint whose weights are pieces of one row of random numbers, one file in memory at a time."""
    import torch
    from safetensors.torch import save_file

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
    drawn = torch.randn(VOCABULARY * shape["hidden_size"], generator=torch.Generator().manual_seed(0)).mul_(0.02)
    drawn = drawn.bfloat16()
    files: list[dict[str, torch.Tensor]] = [{}]
    places, held = {}, 0
    for name, size in tensors(shape):
        numbers = math.prod(size)
        start = sum(name.encode()) * 100_003 % (len(drawn) - numbers + 1)
        value = torch.ones(size).bfloat16() if len(size) == 1 else drawn[start : start + numbers].view(size).clone()
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


def work(method: str, model: str, folder: str, threads: int) -> None:
    """Compress once, with a cache of its own; print seconds, peaks and the artifact's digest."""
    import torch

    import methods
    from methods.base import Calibration, Source

    torch.set_num_threads(threads)
    tokens = torch.randint(VOCABULARY, (2, TOKENS // 2), generator=torch.Generator().manual_seed(1))
    calibration = Calibration(tokens, ("en", "en"), {"en": 1.0}, "benchmark", cache=Path(folder) / "cache")
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
    began, used = time.perf_counter(), time.process_time()
    source = Source(Path(model), "benchmark", "bfloat16")
    made = methods.load(method)().compress(source, given, Path(folder) / "artifact")
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    stop.set()
    watcher.join()
    told = {"seconds": seconds, "cpu": cpu, "anonymous": peaks["RssAnon"], "file": peaks["RssFile"]}
    print(json.dumps({**told, "digest": made.digest, "blocks": len(blocks(made.folder))}))


if __name__ == "__main__":
    main()
