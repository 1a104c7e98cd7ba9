"""Ours beside the reference libraries: same model, calibration ids, bits and group size; weights, KLD, bytes, costs.

    python benchmarks/parity.py FOLDER [--only rtn,gptq] [--model bundled:gemma-3-270m] [--sequences 16] [--passages 8]

Each contender compresses in a process of its own, whose processor seconds (loading and all children included) and
largest memory are those of the table; set OMP_NUM_THREADS=1 to compare them. KLD is the mean over tokens of
KL(original || compressed) in nats on the bundled test passages, the artifact read back from disk. Where the algorithm
says what the weights are, they are compared one by one. A library that is missing, or fails, is a row that says so.
FOLDER keeps what was measured: a second run measures only what is not there yet, and prints everything.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.languages import LANGUAGES
from harness.overrides import parse_call

if TYPE_CHECKING:
    from torch import Tensor

    from harness.languagemodel import LanguageModel
    from methods.base import Calibration, Source

BATCH = 8
"""Passages."""


FAMILIES: dict[str, tuple[str, ...]] = {
    "gptq": (
        "gptq:true_sequential=false",
        "ref_llmcompressor:format=gptq",
        "gptq",
        "gptq:act_order=false,true_sequential=false",
        "ref_gptqmodel:format=gptq",
    ),
    "wanda": ("wanda", "ref_llmcompressor:format=wanda"),
    "rtn": ("rtn", "ref_llmcompressor:format=rtn", "ref_torchao"),
    "sparsegpt": ("sparsegpt:true_sequential=false", "ref_llmcompressor:format=sparsegpt", "sparsegpt"),
    "nf4": ("rtn:granularity=group:64", "ref_bitsandbytes"),
    "awq": ("awq", "ref_llmcompressor:format=awq", "ref_gptqmodel:format=awq"),
}
"""Family -> ours and theirs. Beside NF4, which we have no method of, stands plain rounding on groups as large as its
blocks; its weights are compared with the formula."""
EQUAL = {
    "ref_llmcompressor:format=gptq": "gptq:true_sequential=false",
    "ref_gptqmodel:format=gptq": "gptq:act_order=false,true_sequential=false",
    "ref_llmcompressor:format=wanda": "wanda",
    "ref_llmcompressor:format=rtn": "rtn",
    "ref_torchao": "rtn",
    "ref_llmcompressor:format=sparsegpt": "sparsegpt:true_sequential=false",
}
"""Theirs -> ours at equal settings, whose weights theirs are held to."""


def make(contender: str, folder: Path, source: Source, calibration: Calibration) -> None:
    """In a process of its own: compress, and write down what it took."""
    import methods

    before, began, params = _processor_seconds(), time.perf_counter(), parse_call(contender)
    name = params.pop("name")
    read = calibration if methods.needs(name) else None
    try:
        made = methods.load(name)(**params).compress(source, read, folder / "artifact")
    except (ValueError, ImportError) as error:  # what the library says, or that it is not here
        (folder / "made.json").write_text(json.dumps({"failed": str(error)}), encoding="utf-8")
        return
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    took = {"seconds": time.perf_counter() - began, "processor": _processor_seconds() - before, "peak": peak * 1024}
    (folder / "made.json").write_text(json.dumps({**took, "notes": dict(made.notes)}), encoding="utf-8")


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def batches(
    original: LanguageModel, languages: Sequence[str], passages: int
) -> Iterator[tuple[str, Any, list[int], Any]]:
    """(language, padded ids, how many of each are read, targets)."""
    import torch

    from harness.corpora import load_corpus, select

    for language in languages:
        texts = [item.text for item in select(load_corpus("bundled", language, "test"), passages)]
        rows = sorted((original.encode(text) for text in texts), key=len)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            lengths = [len(ids) - 1 for ids in batch]
            padded = torch.tensor([ids + [0] * (lengths[-1] + 1 - len(ids)) for ids in batch])
            yield language, padded, lengths, torch.cat([torch.tensor(ids[1:]) for ids in batch])


def divergences(
    model: LanguageModel, original: LanguageModel, read: Sequence[Any], hidden: Sequence[Tensor]
) -> dict[str, float]:
    """Language -> mean KL(original || model), nats per token; ``hidden`` are the original's states for ``read``."""
    import torch

    from harness.scoring import token_fidelity

    total: dict[str, list[float]] = {}
    with torch.inference_mode():
        for (language, padded, lengths, targets), reference in zip(read, hidden, strict=True):
            states = model.hidden(padded, lengths)
            kl = token_fidelity(states, reference, targets, model.head(), original.head()).kl
            total.setdefault(language, []).extend(kl.tolist())
    return {language: sum(values) / len(values) for language, values in total.items()}


def difference(ours: Path, theirs: Path) -> str:
    """How far two artifacts' weights are apart, layer by layer."""
    from methods import artifact

    a, b = (artifact.load(folder, "float32") for folder in (ours, theirs))
    names = artifact.read_manifest(theirs).layers.keys() & artifact.read_manifest(ours).layers.keys()
    return _said([(a.get_submodule(name).weight, b.get_submodule(name).weight) for name in names])


def formula(source: Source, theirs: Path) -> str:
    """How far bitsandbytes' NF4 is from the formula: the nearest of 16 quantiles of a normal, times the largest of
    64 weights."""
    import torch
    from scipy.stats import norm

    from methods import artifact

    sides = [norm.ppf(torch.linspace(0.9677083, 0.5, count)[:-1]) for count in (9, 8)]
    levels = torch.tensor([*-sides[1], 0.0, *sides[0][::-1]], dtype=torch.float32)
    levels /= levels.max()
    a, b = source.model(), artifact.load(theirs, "float32")
    pairs = []
    for name in artifact.read_manifest(theirs).layers:
        weight: Any = a.get_submodule(name).weight
        blocks = weight.detach().float().view(-1, 64)
        largest = blocks.abs().amax(1, keepdim=True)
        middles = (levels[1:] + levels[:-1]) / 2
        pairs.append(
            (
                (levels[torch.bucketize(blocks / largest, middles)] * largest).view_as(weight),
                b.get_submodule(name).weight,
            )
        )
    return _said(pairs)


def _said(pairs: Sequence[tuple[Any, Any]]) -> str:
    largest = max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)
    other = sum(int(((a - b).abs() > 1e-2 * a.abs().amax(1, keepdim=True)).sum()) for a, b in pairs)
    kept = sum(int(((a == 0) != (b == 0)).sum()) for a, b in pairs)
    count = sum(a.numel() for a, _ in pairs)
    apart = f"{largest:.1e} of a layer's largest weight; {other / count:.3%} of all differ by over 1% of their row's"
    return apart + (f"; {kept / count:.3%} are zero in one alone" if kept else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families: %(default)s")
    parser.add_argument("--model", default="bundled:gemma-3-270m")
    parser.add_argument("--sequences", type=int, default=16, help="of 512 calibration tokens, all languages alike")
    parser.add_argument("--passages", type=int, default=8, help="test passages per language")
    parser.add_argument("--languages", default=",".join(LANGUAGES), help="%(default)s")
    parser.add_argument("--show", action="store_true", help="measure nothing, print what is there")
    asked = parser.parse_args()
    asked.languages = asked.languages.split(",")
    if not asked.show:
        _measure(asked)
    _print(asked)
    return 0


def _place(folder: Path, contender: str) -> Path:
    return folder / contender.replace(":", "_")


def _measure(asked: argparse.Namespace) -> None:
    """Each contender in turn: compressed in a process of its own, then read, weighed and compared here."""
    import torch

    from harness.calibration import draw_calibration
    from harness.languagemodel import LanguageModel
    from harness.models import default_cache, resolve
    from harness.specs import CalibrationSpec
    from methods import artifact

    source = resolve(asked.model, default_cache()).source
    original = LanguageModel(source.model(), source.tokenizer(), source.device)
    spec = CalibrationSpec(sequences=asked.sequences)
    calibration = draw_calibration(original.encode, original.bos, spec, tuple(asked.languages))
    read = list(batches(original, asked.languages, asked.passages))
    with torch.inference_mode():
        hidden = [original.hidden(padded, lengths) for _, padded, lengths, _ in read]
    for contender in (one for family in asked.only.split(",") for one in FAMILIES[family]):
        place = _place(asked.folder, contender)
        if not (place / "made.json").exists():
            place.mkdir(parents=True, exist_ok=True)
            child = multiprocessing.get_context("fork").Process(
                target=make, args=(contender, place, source, calibration)
            )
            child.start()
            child.join()
            if not (place / "made.json").exists():
                failed = f"ended with exit code {child.exitcode}"
                (place / "made.json").write_text(json.dumps({"failed": failed}), encoding="utf-8")
            print(f"{contender}: {(place / 'made.json').read_text()}", file=sys.stderr, flush=True)
        if (place / "kld.json").exists() or not (place / "artifact" / "manifest.json").exists():
            continue
        model = LanguageModel(artifact.load(place / "artifact", source.dtype), source.tokenizer(), source.device)
        footprint = artifact.weigh(place / "artifact")
        found: dict[str, Any] = {"bytes": footprint.total, "bits": footprint.bits_per_weight}
        found |= {"kld": divergences(model, original, read, hidden), "apart": _apart(contender, source, asked.folder)}
        (place / "kld.json").write_text(json.dumps(found), encoding="utf-8")
        print(f"{contender}: {found}", file=sys.stderr, flush=True)


def _apart(contender: str, source: Source, folder: Path) -> str:
    """How far its weights are from ours at equal settings; nothing where they cannot be compared."""
    theirs, ours = _place(folder, contender) / "artifact", EQUAL.get(contender)
    if contender == "ref_bitsandbytes":
        return formula(source, theirs)
    mine = _place(folder, ours) / "artifact" if ours else None
    return difference(mine, theirs) if mine and (mine / "manifest.json").exists() else ""


def _print(asked: argparse.Namespace) -> None:
    print(f"{asked.model}, {asked.sequences} x 512 calibration tokens, {asked.passages} test passages a language\n")
    head = ["method", "MB", "bits", "processor s", "peak MB", *asked.languages, "weights"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for family in asked.only.split(","):
        for one in FAMILIES[family]:
            place = _place(asked.folder, one)
            if not (place / "made.json").exists():
                continue
            made = json.loads((place / "made.json").read_text(encoding="utf-8"))
            if "failed" in made:
                print(f"| {one} | {made['failed']} |")
                continue
            read = json.loads((place / "kld.json").read_text(encoding="utf-8")) if (place / "kld.json").exists() else {}
            cells = [one, f"{read['bytes'] / 1e6:.1f}", f"{read['bits']:.3f}"] if read else [one, "", ""]
            cells += [f"{made['processor']:.0f}", f"{made['peak'] / 1e6:,.0f}"]
            cells += [f"{read['kld'][code]:.4f}" if read else "" for code in asked.languages]
            print(f"| {' | '.join([*cells, read.get('apart', '')])} |")


if __name__ == "__main__":
    sys.exit(main())
