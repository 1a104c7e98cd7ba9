"""Our answers beside lm-eval's own, item by item, on one model: KoBEST, HellaSwag, ARC-easy and PIQA from local files.

    python benchmarks/zeroshot.py --data DIR [--model FOLDER] [--items 40] [--rounds 3] [--only piqa,arc_easy]

DIR holds ``en/*.jsonl`` and ``ko/*.tsv`` as published. FOLDER is a transformers folder (default: the bundled model) or
an artifact that `langgap compress` wrote; both sides compute in float32 on the CPU and read 2,048 tokens at most.
lm-eval's side is its `simple_evaluate` with its `HFLM`, four requests at once. A row tells how many items both sides
answered alike and the largest difference of a margin in nats.

Both sides take turns, ``rounds`` times each, after two items each to warm up: ours, lm-eval's, ours, lm-eval's. Times
are processor seconds of this process on one thread, so that a busy machine spoils little: the medians of both sides,
and the median of the rounds' ratios, ours over lm-eval's, between the smallest and the largest.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]
TASKS: dict[str, tuple[str, str, str, Callable[[Row], tuple[str, list[str], int]]]] = {
    "kobest_boolq": (
        "ko",
        "ko/kobest_boolq_test.tsv",
        " ",
        lambda row: (
            f"{row['Text']} 질문: {row['Question']} 답변:",
            ["아니오", "예"],
            int(row["Answer"].lower() == "true"),
        ),
    ),
    "kobest_hellaswag": (
        "ko",
        "ko/kobest_hellaswag_test.tsv",
        " ",
        lambda row: (f"문장: {row['context']}", [row[f"choice{n}"] for n in range(1, 5)], int(row["label"])),
    ),
    "hellaswag": ("en", "en/hellaswag_val_2000.jsonl", " ", lambda row: (row["ctx"], row["endings"], row["label"])),
    "arc_easy": ("en", "en/arc_easy.jsonl", " ", lambda row: (f"{row['query']}\nAnswer:", row["choices"], row["gold"])),
    "piqa": ("en", "en/piqa.jsonl", " ", lambda row: (f"{row['query']}Answer:", row["choices"], row["gold"])),
}
"""Name -> language, file, what stands before a choice, and what is asked of a row: question, choices, the right one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TASKS))
    args = parser.parse_args()
    one_thread()
    lm = language_model(args.model)
    print(
        "task              items  alike  per byte  margin within  accuracy  lm-eval  seconds  lm-eval  ratio",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as place:
        for name in args.only.split(","):
            write(name, args.data, Path(place), args.items)
            print(compared(lm, name, Path(place), args.rounds), flush=True)


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def language_model(folder: Path | None) -> Any:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from harness.languagemodel import LanguageModel
    from harness.models import default_cache, resolve
    from methods.artifact import load

    if folder is None:
        source = resolve("bundled:gemma-3-270m", default_cache(), "float32", "cpu").source
        return LanguageModel(source.model(), source.tokenizer())
    if (folder / "manifest.json").is_file():
        model = load(folder, "float32", "cpu")
    else:
        import torch

        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    inside = folder / "checkpoint"  # where a library's own files are the artifact
    return LanguageModel(model, AutoTokenizer.from_pretrained(inside if inside.is_dir() else folder))


def write(name: str, data: Path, place: Path, items: int) -> None:
    """The first items of a published file as JSON lines, with a task file of our own."""
    language, file, delimiter, asked = TASKS[name]
    with (data / file).open(encoding="utf-8", newline="") as source:
        rows: Any = (
            csv.DictReader(source, delimiter="\t", quoting=csv.QUOTE_NONE)
            if file.endswith(".tsv")
            else map(json.loads, source)
        )
        lines = [
            json.dumps(dict(zip(("question", "choices", "label"), asked(row), strict=True)), ensure_ascii=False)
            for row, _ in zip(rows, range(items), strict=False)
        ]
    (place / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (place / f"ours_{name}.yaml").write_text(
        f"task: ours_{name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {place / f'{name}.jsonl'}}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{question}}"\ndoc_to_choice: choices\n'
        f'doc_to_target: label\ntarget_delimiter: "{delimiter}"\n'
        f"metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]\n"
        f"metadata: {{version: 1, language: {language}}}\n",
        encoding="utf-8",
    )


def compared(lm: Any, name: str, place: Path, rounds: int) -> str:
    from harness import zeroshot

    params = {key: default for key, (default, _) in zeroshot.FIELDS.items()}
    params |= {"tasks": f"ours_{name}", "include_path": str(place)}
    zeroshot.measure(lm, params, TASKS[name][0], 2)
    lm_eval_side(lm, name, place, 2)
    spent = []
    for number in range(1, rounds + 1):
        began = time.process_time()
        ours = zeroshot.measure(lm, params, TASKS[name][0])
        halfway = time.process_time()
        theirs = lm_eval_side(lm, name, place)
        spent.append((halfway - began, time.process_time() - halfway))
        print("{}, round {}: {:.1f} s, lm-eval {:.1f} s".format(name, number, *spent[-1]), file=sys.stderr, flush=True)
    alike, alike_per_byte, apart = 0, 0, 0.0
    for sample, other in zip(ours.samples, theirs, strict=True):
        nats = [float(answer[0][0]) for answer in other["resps"]]
        gold, choices = other["target"], other["doc"]["choices"]
        per_byte = [value / len(choice.encode()) for value, choice in zip(nats, choices, strict=True)]
        alike += sample.quantities["choice"] == nats.index(max(nats)) and sample.quantities["correct"] == other["acc"]
        alike_per_byte += sample.quantities["choice_per_byte"] == per_byte.index(max(per_byte))
        margin = nats[gold] - max(value for n, value in enumerate(nats) if n != gold)
        apart = max(apart, abs(margin - sample.quantities["margin"]))
    ratios = [a / b for a, b in spent]
    n, accuracy = len(ours.samples), sum(other["acc"] for other in theirs) / len(theirs)
    return (
        f"{name:17} {n:5} {alike:6} {alike_per_byte:9} {apart:14.2g} {ours.estimates['accuracy'].value:9.4f} "
        f"{accuracy:8.4f} {median(a for a, _ in spent):8.1f} {median(b for _, b in spent):8.1f}  "
        f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
    )


def lm_eval_side(lm: Any, name: str, place: Path, limit: int | None = None) -> list[Row]:
    """lm-eval's samples in the order of the items."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    theirs = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=4, max_length=2048, device="cpu")
    manager = TaskManager(include_path=str(place), include_defaults=False)
    found = lm_eval.simple_evaluate(
        theirs, tasks=[f"ours_{name}"], limit=limit, task_manager=manager, bootstrap_iters=0
    )
    assert found is not None
    return sorted(found["samples"][f"ours_{name}"], key=lambda sample: sample["doc_id"])


if __name__ == "__main__":
    main()
