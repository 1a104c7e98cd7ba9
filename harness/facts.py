"""Looks at the world for a plan: digests of models, fingerprints of texts and calibration tokens. Loads no weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.calibration import CODE, Drawn, as_calibration, draw_tokens
from harness.corpora import fingerprint, load_corpus, select, shared
from harness.firing import MOST_TOKENS, with_firing
from harness.itemtexts import item_texts
from harness.overlap import overlap
from harness.passages import Passage
from harness.plan import (
    CalibrationFacts,
    Facts,
    ItemFacts,
    ItemsKey,
    ModelFacts,
    QuestionFacts,
    QuestionsKey,
    calibration_of,
    items_key,
    questions_key,
    text_key,
)
from harness.questions import asked
from harness.questions import fingerprint as questions_fingerprint
from harness.specs import CalibrationSpec, SweepConfig, TaskSpec
from harness.tasks import all_tasks
from methods.base import Calibration, Progress, Source, silent
from results.cell import digest_of
from results.files import replace

if TYPE_CHECKING:
    from harness.models import Resolved


class World(NamedTuple):
    """What was seen, and what it was seen on."""

    facts: Facts
    models: dict[str, Resolved]
    texts: dict[str, tuple[Passage, ...]]
    """Test text by its fingerprint."""


def look(config: SweepConfig, cache: Path, progress: Progress = silent) -> World:
    """Find out everything `make_plan` has to know. Raises UserError for models and texts that are not to be had."""
    from harness.models import resolve

    texts: dict[str, tuple[Passage, ...]] = {}
    named = {}
    for task in (task for task in config.tasks if "corpus" in task.params):
        for language in config.languages:
            passages = test_passages(config, task, language)
            named[text_key(task, language)] = fingerprint(passages)
            texts[fingerprint(passages)] = passages
    resolved = {model: resolve(model, cache, config.dtype, config.device, progress) for model in config.models}
    facts = Facts(
        models={name: _model_facts(found) for name, found in resolved.items()},
        texts=named,
        calibrations={
            (name, draw.spec.key, draw.number): _calibration_facts(draw, found.source, cache)
            for name, found in resolved.items()
            for draw in _draws(config)
        },
        items=_items(config),
        questions=_questions(config),
    )
    return World(facts, resolved, texts)


def _items(config: SweepConfig) -> dict[ItemsKey, tuple[ItemFacts, ...]]:
    """The lm-eval tasks that the sweep's names stand for, by language."""
    from harness.items import families

    asking = [task for task in config.tasks if all_tasks()[task.name].asks_items]
    keys = [items_key(task, language) for task in asking for language in config.languages]
    return {key: tuple(ItemFacts(item.family, item.fingerprint) for item in families(*key)) for key in keys}


def _questions(config: SweepConfig) -> dict[QuestionsKey, QuestionFacts]:
    """The open questions that the sweep asks, by set and language."""
    asking = [task for task in config.tasks if all_tasks()[task.name].asks_questions]
    keys = {questions_key(config, task, language) for task in asking for language in config.languages} - {None}
    found = {key: asked(*key) for key in keys if key}
    return {key: QuestionFacts(questions_fingerprint(of), len(of)) for key, of in found.items()}


def overlaps(config: SweepConfig, world: World) -> dict[tuple[str, str], str]:
    """(fingerprint of calibration tokens, of a test text or items) -> a sentence, where the two share long wording."""
    found = {}
    items = item_texts(config) if calibrations_of(config) else {}
    for model in world.models.values():
        for drawn in (draw.tokens(model.source) for draw in _draws(config)):
            for text, test in {**world.texts, **items}.items():
                shared_by = overlap(drawn.passages, test, what="items" if text in items else "passages")
                if said := [each.sentence for each in shared_by if each.shared]:
                    found[drawn.fingerprint, text] = " ".join(said)
    return found


def _model_facts(found: Resolved) -> ModelFacts:
    source = found.source
    return ModelFacts(source.digest, source.dtype, source.device.partition(":")[0], found.revision)


@dataclass(frozen=True)
class _Draw:
    """One draw of one of the sweep's calibrations, before a tokenizer is loaded."""

    config: SweepConfig
    spec: CalibrationSpec
    number: int

    @property
    def serves_both(self) -> bool:
        """Whether its corpus is read as test text too."""
        return shared(self.spec.corpus, test_corpora(self.config))

    def tokens(self, source: Source) -> Drawn:
        encode, bos = encoder(source)
        config = self.config
        drawn = draw_tokens(encode, bos, self.spec, config.languages, self.number, config.seed, self.serves_both)
        return with_firing(drawn, encode, bos, self.spec, config.seed, self.serves_both)

    def identity(self, source: Source) -> str:
        """Digest of all that decides the tokens: tokenizer, texts, and how they are drawn."""
        firing = self.spec.firing or ()
        languages = [*self.spec.weights(self.config.languages), *firing]
        texts = [
            fingerprint(load_corpus(self.spec.corpus, code, "calibration", self.serves_both)) for code in languages
        ]
        code = [CODE, MOST_TOKENS] if firing else CODE
        return digest_of([code, source.digest, self.spec.key, languages, texts, self.number, self.config.seed])


def _draws(config: SweepConfig) -> list[_Draw]:
    specs = {spec.key: spec for spec in calibrations_of(config)}
    return [_Draw(config, spec, number) for spec in specs.values() for number in range(config.draws)]


def _calibration_facts(draw: _Draw, source: Source, cache: Path) -> CalibrationFacts:
    """The fingerprint of a draw's tokens, remembered so that a finished sweep need not load a tokenizer to know it."""
    path = cache / "draws" / f"{draw.identity(source)}.json"
    try:
        return CalibrationFacts(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass
    drawn = draw.tokens(source)
    found = CalibrationFacts(drawn.fingerprint, drawn.label)
    replace(path, json.dumps(asdict(found)).encode())
    return found


def test_passages(config: SweepConfig, task: TaskSpec, language: str) -> tuple[Passage, ...]:
    """The test text that a task of this sweep reads in one language, after the sweep's limit."""
    corpus = str(task.params["corpus"])
    serves_both = shared(corpus, [spec.corpus for spec in calibrations_of(config)])
    parallel = config.languages if task.params.get("parallel") else ()
    return select(load_corpus(corpus, language, "test", serves_both, parallel), config.limit)


def calibrate(source: Source, config: SweepConfig, spec: CalibrationSpec, draw: int, cache: Path) -> Calibration:
    """One draw of calibration tokens as a method is given it; equal to what the plan named."""
    return as_calibration(_Draw(config, spec, draw).tokens(source), config.seed, cache / "moments")


@lru_cache(maxsize=4)  # a tokenizer of 262,144 pieces takes seconds to load
def encoder(source: Source) -> tuple[Callable[[str], list[int]], int | None]:
    """A model's text -> ids without special tokens, and the id its tokenizer begins a text with, or None."""
    tokenizer = source.tokenizer()
    begun = tokenizer("a", add_special_tokens=True)["input_ids"]
    bos = tokenizer.bos_token_id if begun[0] == tokenizer.bos_token_id else None

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    return encode, bos


def calibrations_of(config: SweepConfig) -> list[CalibrationSpec]:
    """The calibrations that the sweep's methods read, one for each such method."""
    found = (calibration_of(config, method) for method in config.methods)
    return [spec for spec in found if spec is not None]


def test_corpora(config: SweepConfig) -> list[str]:
    return [str(task.params["corpus"]) for task in config.tasks if "corpus" in task.params]
