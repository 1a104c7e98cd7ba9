"""LAPE-AWQ: AWQ that keeps the few neurons which chosen languages need beside the grid, in 16 or 8 bits.

A neuron of a gated MLP is a row of gate, a row of up and a column of down. Those of a language are found by the entropy
of their firing over languages (``_lape``; Tang et al., arXiv 2402.16438). They are kept as AWQ's scales leave them
(folded, but neither rounded nor clipped), while the quantized image under them stays AWQ's own to the bit: a control
with other neurons differs in nothing but which, and all share one search (``_awq``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from methods._affine import misfit
from methods._awq import Packed, finish, packed_blocks, recipe_of, require_valid, store
from methods._awq_block import scaled_gram
from methods._blocks import Family, Mlp, family
from methods._files import write_text
from methods._kept import PANELS, Axis, KeptLinear, kept_bytes
from methods._lape import Firing, Selection, firing, select, split_half
from methods._linear import AffineLinear
from methods._moments import Moments, gather
from methods._neurons import (
    drawn,
    errors,
    highest,
    of_language,
    parse_control,
    parse_languages,
    preserved,
    require_counted,
)
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

KEPT = "kept.json"
"""In the artifact: how many neurons are kept in each block, which vectors of them, and what chose them."""
KEEP = ("gate+up+down", "gate+up", "down")
UNSTABLE = 0.5
"""A split-half overlap below this: another text of the same size would choose mostly other neurons."""


@dataclass(frozen=True)
class LapeAwq(Compressor):
    """AWQ that keeps chosen languages' own neurons in 16 or 8 bits, with controls that keep as many others."""

    code: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"abs_mean", "gram", "firing"})

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero (and stores no zero points)."""
    grid: int = 20
    """Scales tried per group of linears; 1 tries only plain rounding."""
    clip: bool = True
    """Whether to cut off large weights where that costs less than it saves; kept ones never are."""
    clip_grid: int = 10
    """Clip limits tried: 100%, 95%, 90% ... of the largest weight; at most 20."""
    weight_scaling: bool = False
    """Whether scales also look at the weights' own sizes (AutoAWQ's variant)."""
    search_tokens: int = 2048
    """Calibration tokens on which scales are compared: beginnings of all sequences. Mean sizes and clips use all."""
    preserve: str = "ko"
    """Languages whose neurons are kept, with commas between."""
    top: float = 0.01
    """Share of all neurons that is selected, over all languages; a language keeps its own among them."""
    keep: str = "gate+up+down"
    """Which vectors of a neuron: 'gate+up+down', 'gate+up' or 'down'."""
    panel: str = "float16"
    """What they are kept in: float16, bfloat16 or int8 (with a scale for each vector)."""
    carve: bool = False
    """Whether the quantized entries under kept vectors are left out of the file; the numbers are the same."""
    control: str = "none"
    """As many other neurons in their place: random, language:CODE, activation or error."""
    control_seed: int = 0
    """Seed of the random control."""

    def __post_init__(self) -> None:
        require_valid(self)
        for name, allowed in (("keep", KEEP), ("panel", PANELS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed are {', '.join(map(repr, allowed))}.")
        if not isinstance(self.carve, bool):
            raise ValueError(f"carve={self.carve!r}: allowed are true and false.")
        if not isinstance(self.control_seed, int) or isinstance(self.control_seed, bool) or self.control_seed < 0:
            raise ValueError(f"control_seed={self.control_seed!r}: allowed are whole numbers from 0.")
        if not isinstance(self.top, int | float) or isinstance(self.top, bool) or not 0 < self.top < 1:
            raise ValueError(f"top={self.top!r}: allowed are numbers between 0 and 1.")
        languages = parse_languages(self.preserve)
        if parse_control(self.control) in languages:
            raise ValueError(f"control={self.control!r} is preserved: name another language.")

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("lape_awq needs calibration text: give the sweep a [calibration] section.")
        if calibration.firing is None:
            raise ValueError(
                "lape_awq counts on which tokens neurons fire, on equally much text in two languages or more, and was "
                "given no such text: give the sweep at least two languages."
            )
        counted = tuple(dict.fromkeys(calibration.firing.languages))
        require_counted(parse_languages(self.preserve), counted, f"preserve={self.preserve!r}")
        if other := parse_control(self.control):
            require_counted([other], counted, f"control={self.control!r}")
        kind = family(source.config)
        fired = firing(source, calibration.firing, progress)
        selection = select(fired, self.top)
        own = preserved(selection, parse_languages(self.preserve))
        moments = self._moments(source, calibration, progress)
        writer = Writer(folder, source, "lape_awq", asdict(self), self.code, calibration)
        for packed in packed_blocks(self, source, calibration, writer, progress):
            neurons = self._neurons(packed, own[packed.index], fired, selection, moments, kind)
            store(writer, packed, packed.layers | self._kept(packed, neurons, kind.mlp))
        self._report(writer, source, fired, selection, own)
        return finish(writer, source)

    def _vectors(self, mlp: Mlp) -> dict[str, Axis]:
        """Linear of a block -> what of it is kept."""
        parts: dict[str, tuple[str | None, Axis]] = {
            "gate": (mlp.gate, "rows"),
            "up": (mlp.up, "rows"),
            "down": (mlp.down, "columns"),
        }
        chosen = (parts[part] for part in self.keep.split("+"))
        return {linear: axis for linear, axis in chosen if linear is not None}

    def _moments(self, source: Source, calibration: Calibration, progress: Progress) -> Moments | None:
        """What the control ranks neurons by; None where it ranks by nothing."""
        needs = {"activation": {"abs_mean"}, "error": {f"gram:{recipe_of(self).group or 'row'}"}}.get(self.control)
        return gather(source, calibration, needs, progress) if needs else None

    def _neurons(
        self, packed: Packed, own: Tensor, fired: Firing, selection: Selection, moments: Moments | None, kind: Family
    ) -> Tensor:
        """Which neurons of a block are kept: int64, ascending, as many as are the languages' ``own``."""
        index, neurons = packed.index, fired.counts.shape[2]
        if language := parse_control(self.control):
            return of_language(own, fired, selection, language, index)
        if self.control == "random":
            return drawn(own, neurons, self.control_seed, index)
        if self.control == "activation":
            assert moments is not None
            return highest(moments.abs_mean(index, "down"), len(own))
        if self.control == "error":
            assert moments is not None
            changes = {}
            for linear, axis in self._vectors(kind.mlp).items():
                if linear in packed.layers:
                    weight = packed.shrunk.weights[linear]
                    gram = scaled_gram(index, kind.group_of(linear), recipe_of(self), moments, packed.shrunk)
                    changes[linear] = axis, packed.layers[linear].dequantize() - weight, gram.to(weight.device)
            return highest(errors(changes, neurons), len(own))
        return own

    def _kept(self, packed: Packed, neurons: Tensor, mlp: Mlp) -> dict[str, AffineLinear]:
        """The linears of a block of which vectors are kept."""
        layers: dict[str, AffineLinear] = {}
        for linear, axis in self._vectors(mlp).items():
            if linear in packed.layers and len(neurons):
                weight, index = packed.shrunk.weights[linear], neurons.to(packed.shrunk.weights[linear].device)
                vectors = weight[index] if axis == "rows" else weight[:, index].T
                layer = packed.layers[linear]
                try:
                    layers[linear] = KeptLinear.keeping(layer, axis, index, vectors, self.panel, self.carve)
                except ValueError as problem:
                    raise ValueError(f"{packed.prefix}.{linear} {problem}") from None
        return layers

    def _report(self, writer: Writer, source: Source, fired: Firing, selection: Selection, own: list[Tensor]) -> None:
        """``kept.json``, and the sentences that every record carries."""
        hidden, neurons, group = source.config["hidden_size"], fired.counts.shape[2], recipe_of(self).group
        vectors = self._vectors(family(source.config).mlp)
        stored = {
            linear: axis for linear, axis in vectors.items() if not misfit(hidden if axis == "rows" else neurons, group)
        }
        counts = [len(block) for block in own]
        panels = sum(counts) * len(stored) * kept_bytes(1, hidden, neurons, self.panel)
        languages = parse_languages(self.preserve)
        halves = split_half(fired, self.top)
        overlap = {language: halves[language] for language in languages if language in halves}
        kept = {
            "preserve": languages,
            "control": self.control,
            "vectors": stored,
            "neurons": neurons * len(own),
            "kept": sum(counts),
            "kept_per_block": counts,
            "panel_bytes": panels,
            "selected": {language: sum(blocks) for language, blocks in selection.counts.items()},
            "tokens": dict(fired.tokens),
            "split_half_overlap": overlap,
        }
        if other := parse_control(self.control):
            spare = (len(set(s.tolist()) - set(o.tolist())) for s, o in zip(selection.neurons[other], own, strict=True))
            kept["of_the_control_language"] = sum(map(min, spare, counts))
        write_text(writer.folder / KEPT, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        whose = " and ".join(languages) if self.control == "none" else f"{self.control}, as many as of {self.preserve}"
        writer.note(
            "kept",
            f"{sum(counts):,} of {neurons * len(own):,} neurons ({whose}) kept in {self.panel}: {panels:,} bytes of "
            f"panels; neurons counted on {min(fired.tokens.values()):,} tokens in each of {len(fired.languages)} "
            "languages",
        )
        writer.note("split_half_overlap", stability(languages, overlap))
        writer.note("neurons_by_block", json.dumps({"kept": counts, **selection.counts}, separators=(",", ":")))


def stability(languages: tuple[str, ...], overlap: dict[str, float]) -> str:
    """How far two halves of the text agree on each language's neurons, in words where they do not."""
    said = []
    for language in languages:
        share = overlap.get(language)
        if share is None:
            said.append(f"{language}: cannot be said, either half of the text is too little to choose from")
        elif share < UNSTABLE:
            said.append(f"{language} {share:.0%}: unstable, other text would choose other neurons; count on more")
        else:
            said.append(f"{language} {share:.0%}")
    return "; ".join(said)
