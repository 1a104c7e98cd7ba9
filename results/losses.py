"""What each language lost under one variant, or under a method over its draws: the changes of a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from results import gap as gaps
from results import sentences
from results.claim import Change
from results.estimate import Estimate, Sample
from results.evidence import Method, Setting
from results.gap import Pair
from results.multiplicity import holm
from results.resampling import block_contrast
from results.statistics import ALPHA, Contrast, exponential, sd


def changes(setting: Setting, method: Method, level: float) -> list[Change]:
    """One change for each language measured under every draw of the method."""
    found = []
    for language in setting.languages:
        keys = [(variant.key, language) for variant in method.draws]
        if not all(key in setting.read for key in keys):
            continue
        reads = [setting.read[key] for key in keys]
        groups, _ = gaps.match({"none": setting.none[language], **{str(i): read for i, read in enumerate(reads)}})
        if not groups:
            continue
        pairs = [gaps.pair(language, read, setting.none[language], groups) for read in reads]
        fidelity = [setting.fidelity[key] for key in keys if key in setting.fidelity]
        found.append((language, pairs, fidelity if len(fidelity) == len(keys) else []))
    contrasts = [_log_ratio(setting, pairs) for _, pairs, _ in found]
    adjusted = holm([contrast.p() for contrast in contrasts])
    return [
        _change(setting, method, language, pairs, fidelity, contrast, p, level)
        for (language, pairs, fidelity), contrast, p in zip(found, contrasts, adjusted, strict=True)
    ]


def _change(
    setting: Setting,
    method: Method,
    language: str,
    pairs: list[Pair],
    fidelity: list[Mapping[str, Sample]],
    contrast: Contrast,
    p_adjusted: float,
    level: float,
) -> Change:
    log_ratio = contrast.interval(level)
    ratio = exponential(log_ratio)
    has_sentences = all(pair.columns[:, 3].all() for pair in pairs)
    bits = gaps.extra_bits(pairs).interval(level) if has_sentences else None
    kld, share = _kld(setting, fidelity, level)
    floor = setting.floors.get(("log_ratio", language))
    inside = setting.is_noise("log_ratio", language, contrast.value)
    established = p_adjusted <= ALPHA and not inside
    bits_floor = setting.floors.get(("extra_bits", language))
    told = (bits_floor or floor) if inside else None
    label = method.label + (f" ({setting.name})" if setting.name else "")
    sentence_en, sentence_ko = sentences.change(label, language, bits, ratio, established, setting.unit, told)
    return Change(
        variant=method.draws[0],
        label=method.label,
        language=language,
        setting=setting.name,
        log_ratio=log_ratio,
        perplexity_ratio=ratio,
        extra_bits_per_sentence=bits,
        kld=kld,
        kld_share_of_entropy=share,
        p=contrast.p(),
        p_adjusted=p_adjusted,
        sentence_en=sentence_en,
        sentence_ko=sentence_ko,
        draws=len(pairs),
        draw_sd=sd([pair.change for pair in pairs]) if len(pairs) > 1 and has_sentences else None,
        passage_sd=sd(gaps.bits_per_passage(pairs)) if has_sentences and len(pairs[0].groups) > 1 else None,
        unit=setting.unit,
        floor=floor,
        bits_floor=bits_floor,
        kld_floor=setting.floors.get(("kld", language), setting.floors.get(("kld_share", language))),
        established=established,
    )


def _log_ratio(setting: Setting, pairs: list[Pair]) -> Contrast:
    if setting.protocol == "rolling" or len(pairs) > 1:
        return gaps.log_ratio(pairs)
    q, o, tokens, _ = pairs[0].columns.T
    return block_contrast(q - o, tokens)  # windows of one text: neighbours are alike


def _kld(
    setting: Setting, draws: Sequence[Mapping[str, Sample]], level: float
) -> tuple[Estimate | None, Estimate | None]:
    """Summed KL in bits per sentence, and as a share of the summed entropy of `none`."""
    if not draws:
        return None, None
    groups, _ = gaps.match({str(i): of for i, of in enumerate(draws)})
    names = ("kl_nats", "entropy_nats", "sentences")
    columns = [np.array([[of[g].quantities.get(name, 0.0) for name in names] for g in groups]) for of in draws]
    if not groups:
        return None, None

    def ratio(denominator: int, scale: float) -> Estimate | None:
        if not all(of[:, denominator].sum() > 0 for of in columns):
            return None
        if setting.protocol != "rolling" and len(columns) == 1:
            return block_contrast(columns[0][:, 0], columns[0][:, denominator] * scale).interval(level)
        return gaps.over_draws(lambda s: s[..., 0] / (s[..., denominator] * scale), columns).interval(level)

    return ratio(2, gaps.LN2), ratio(1, 1.0)
