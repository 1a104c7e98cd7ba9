"""Bits per byte of the bundled texts beside human translations (NTREX-128) in the same language, under one model.

    python benchmarks/texts.py --ntrex DIR [--model bundled:gemma-3-270m] [--blocks 48]
    python benchmarks/texts.py --ntrex DIR --convert texts/ntrex        only write texts/ntrex/{language}.txt

DIR holds ``DOCUMENT_IDS.tsv`` and one ``{language}.txt`` a language, one sentence a line. Consecutive sentences of one
document are put together five by five, about as long as a bundled passage, so that both texts are read with as much
context. Each block or passage is scored whole, begun by BOS, in bfloat16 with the log-softmax in float32.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from harness.corpora import load_corpus
from harness.languages import LANGUAGES
from harness.passages import Passage

Scored = tuple[Passage, float, int]
"""A passage, its nats and tokens."""
Score = Callable[[Sequence[Passage]], list[Scored]]
BATCH = 8
BLOCK = 5
"""Sentences."""


def convert(folder: Path, target: Path) -> None:
    """NTREX's lines as documents between blank lines, ``BLOCK`` sentences or fewer each: what `file:` reads."""
    documents = (folder / "DOCUMENT_IDS.tsv").read_text(encoding="utf-8").splitlines()
    target.mkdir(parents=True, exist_ok=True)
    for code in LANGUAGES:
        lines = (folder / f"{code}.txt").read_text(encoding="utf-8").splitlines()
        if len(lines) != len(documents):
            raise SystemExit(f"{code}.txt has {len(lines)} lines, and DOCUMENT_IDS.tsv {len(documents)}")
        blocks = []
        for _, pairs in groupby(zip(documents, lines, strict=True), key=lambda pair: pair[0]):
            sentences = [line for _, line in pairs]
            blocks += ["\n".join(sentences[start : start + BLOCK]) for start in range(0, len(sentences), BLOCK)]
        (target / f"{code}.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def scorer(model_name: str, cache: Path | None) -> Score:
    """Nats of whole texts after BOS, eight at a time."""
    import torch

    from harness.languagemodel import LanguageModel
    from harness.models import default_cache, resolve
    from harness.scoring import token_nats

    source = resolve(model_name, cache or default_cache(), "bfloat16").source
    lm = LanguageModel(source.model(), source.tokenizer(), source.device)

    @torch.inference_mode()
    def score(passages: Sequence[Passage]) -> list[Scored]:
        rows = sorted(((lm.encode(item.text), item) for item in passages), key=lambda row: len(row[0]))
        found = []
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            lengths = [len(ids) - 1 for ids, _ in batch]
            padded = torch.tensor([ids + [0] * (lengths[-1] + 1 - len(ids)) for ids, _ in batch])
            targets = torch.cat([torch.tensor(ids[1:]) for ids, _ in batch]).to(source.device)
            nats = token_nats(lm.hidden(padded, lengths), targets, lm.head()).split(lengths)
            found += [(item, n.sum().item(), len(n)) for (_, item), n in zip(batch, nats, strict=True)]
        return found

    return score


def bits_per_byte(scored: Iterable[Scored]) -> float:
    """Over all passages: a ratio of sums."""
    rows = list(scored)
    return sum(nats for _, nats, _ in rows) / math.log(2) / sum(len(item.text.encode()) for item, _, _ in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ntrex", type=Path, required=True)
    parser.add_argument("--convert", type=Path)
    parser.add_argument("--model", default="bundled:gemma-3-270m")
    parser.add_argument("--blocks", type=int, default=40, help="NTREX blocks per language")
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    if asked.convert:
        convert(asked.ntrex, asked.convert)
        return
    score = scorer(asked.model, asked.cache)
    with tempfile.TemporaryDirectory() as folder:
        convert(asked.ntrex, Path(folder))
        print("| language | test tokens | test bytes | test | NTREX | test / NTREX |")
        print("|---|---|---|---|---|---|")
        by_source: dict[str, list[float]] = {}
        for code in LANGUAGES:
            bundled = score(load_corpus("bundled", code, "test"))
            blocks = load_corpus(
                f"file:{folder}/{{language}}.txt", code, "test", shared=False, parallel=tuple(LANGUAGES)
            )
            # Evenly spaced blocks, so that the sample reaches over all documents.
            sample = score(blocks[:: max(1, len(blocks) // asked.blocks)][: asked.blocks])
            test, natural = bits_per_byte(bundled), bits_per_byte(sample)
            tokens, size = sum(n for *_, n in bundled), sum(len(item.text.encode()) for item, *_ in bundled)
            counts = f"| {code} | {tokens:,} | {size:,} "
            print(f"{counts}| {test:.2f} | {natural:.2f} | {test / natural:.2f} |", flush=True)
            for source in LANGUAGES:
                part = bits_per_byte(row for row in bundled if row[0].source_language == source)
                by_source.setdefault(source, []).append(part / test)
    print("\nBits per byte of the passages of one source language over those of all, mean over the eight languages:\n")
    print(", ".join(f"{source} {sum(ratios) / len(ratios):.2f}" for source, ratios in by_source.items()))


if __name__ == "__main__":
    main()
