"""``lape``: which neurons fire for few languages, and how much that choice owes to its text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands._text import Commands, add_cache, add_command, add_json, at_least, columns, print_json
from harness.exits import ExitCode
from harness.problems import UserError, together

if TYPE_CHECKING:
    from harness.lape import Neurons

LAPE = """
Count on equally much text of every language how often each neuron of the MLPs fires, and choose
the neurons that fire for few languages: language activation probability entropy, docs/lape.md.
Prints each language's neurons; with --out it also writes counts, choice, plot and table.

Counting is kept in the cache after each stretch of text: the same command goes on where it was
stopped, and a finished count is read back.

examples:
  langgap lape bundled:gemma-3-270m --languages en,ko,ja,zh --out lape
  langgap lape google/gemma-3-1b-pt --languages en,ko --corpus file:texts/{language}.txt
"""


def add(commands: Commands) -> None:
    lape = add_command(commands, "lape", "neurons that fire for few languages", LAPE, run)
    lape.add_argument("model", metavar="MODEL", help="org/name[@revision], a folder, file.gguf or bundled:NAME")
    lape.add_argument("--languages", required=True, metavar="CODES", help="two or more, such as en,ko,th")
    lape.add_argument("--corpus", default="bundled", metavar="NAME", help="text to count on (default: bundled)")
    lape.add_argument(
        "--tokens",
        type=at_least(1),
        metavar="N",
        help="of each language (default: as many as the language with the least text has)",
    )
    lape.add_argument("--length", type=at_least(2), default=512, metavar="N", help="tokens per sequence (default: 512)")
    lape.add_argument("--top", type=_share, default=0.01, metavar="P", help="share of neurons chosen (default: 0.01)")
    lape.add_argument("--out", type=Path, metavar="DIR", help="where counts, choice, plot and table go")
    lape.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="the order of the text (default: 0)")
    lape.add_argument("--dtype", default="auto", metavar="T", help="auto, float32, bfloat16 or float16")
    lape.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    add_cache(lape)
    add_json(lape)


def run(args: argparse.Namespace) -> ExitCode:
    languages = _languages(args.languages, args.corpus)
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UserError(f"'{args.out}' is a file; name a folder for --out.")
    from harness.lape import Text, find_neurons, write
    from harness.models import check_bos, resolve
    from harness.progress import reporting

    with reporting() as reporter:
        source = resolve(args.model, args.cache, args.dtype, args.device, reporter.phase).source
        check_bos(source)
        text = Text(languages, args.corpus, args.length, args.tokens, args.seed)
        found = find_neurons(source, text, args.top, args.cache / "moments", reporter.phase)
    if args.out:
        write(found, args.model, args.out)
    if args.json:
        print_json({"model": args.model, **found.to_json()})
    else:
        _show(found, args)
    for warning in found.warnings():
        print(f"langgap: {warning}", file=sys.stderr)
    return ExitCode.OK


def _show(found: Neurons, args: argparse.Namespace) -> None:
    rows = []
    for language, by_block in found.selection.counts.items():
        overlap = found.overlap.get(language)
        halves = "not measured" if overlap is None else f"{overlap:.0%}"
        neurons, tokens = sum(by_block), found.firing.tokens[language]
        rows.append((language, f"{neurons:,}", f"{neurons / found.chosen:.1%}", halves, f"{tokens:,}"))
    print(columns(("language", "neurons", "of the chosen", "halves agree", "tokens"), rows))
    _, blocks, each = found.firing.counts.shape
    limits = found.selection
    print(
        f"chosen: {found.chosen:,} of {blocks * each:,} neurons ({blocks} blocks of {each:,}); "
        f"entropy up to {limits.entropy:.3f} nats; active above {limits.bar:.3f}"
    )
    if not args.tokens:
        print(f"text: all that '{args.corpus}' has in the language with the least, in whole sequences of {args.length}")
    if args.out:
        print(f"written: {args.out}/lape.json, firing.safetensors, plots/neurons.svg, tables/neurons.csv")


def _languages(text: str, corpus: str) -> tuple[str, ...]:
    """Two or more codes that the corpus has, or all that is wrong with them; imports nothing heavy."""
    from harness.corpora import check_corpus
    from harness.languages import LANGUAGES, is_code, not_a_code, suggestion
    from harness.overrides import codes

    languages = tuple(dict.fromkeys(codes(text)))
    problems = [not_a_code(code) for code in languages if not is_code(code)]
    if len(languages) < 2:
        problems.append(f"neurons are told apart by comparing languages: name two or more, not only '{text}'.")
    wanted = [code for code in languages if is_code(code)]
    hints = "".join(dict.fromkeys(suggestion(code) for code in wanted if code not in LANGUAGES))
    problems += [problem + hints for problem in check_corpus(corpus, wanted)]
    if problems:
        raise together("--languages", problems)
    return languages


def _share(text: str) -> float:
    """An argparse type: a number above 0, up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share: a number above 0, up to 1, such as 0.01")
    return value
