"""``compress`` and ``export``: one compressed model on disk, and the same in formats that other programs load."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands._text import Commands, add_cache, add_command, add_json, at_least, megabytes, print_json
from harness.exits import ExitCode
from harness.problems import UserError

if TYPE_CHECKING:
    from harness.specs import SweepConfig

COMPRESS = """
Compress one model by one method into a folder. A folder that was begun and interrupted is gone on
with; the same call on a finished one says so and does nothing.

examples:
  langgap compress bundled:gemma-3-270m --method rtn:bits=4 --out small
  langgap compress google/gemma-3-1b-pt --method awq:bits=4 --languages en,ko --out small
"""

EXPORT = """
Write an artifact in a format that other programs load, with a model card that says what it is.

plain               a transformers folder with the weights dequantized: the same numbers, as big
                    as the original
compressed-tensors  quantized weights, as small as the artifact, for transformers and servers;
                    weights on a uniform grid only; of kept neurons it holds the quantized image
peft-lora           the neurons that lape_awq keeps, as an adapter to be added to that image

examples:
  langgap export small --out small-plain --dtype bfloat16
  langgap export small --out small-packed --format compressed-tensors
"""


def add(commands: Commands) -> None:
    compress = add_command(commands, "compress", "compress one model by one method", COMPRESS, run_compress)
    compress.add_argument("model", metavar="MODEL", help="org/name[@revision], a folder, file.gguf or bundled:NAME")
    compress.add_argument("--method", required=True, metavar="NAME[:key=value,...]", help="see `langgap methods`")
    compress.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the artifact goes")
    compress.add_argument("--languages", metavar="CODES", help="languages of the calibration text, in equal shares")
    compress.add_argument("--corpus", metavar="NAME", help="calibration text (default: bundled)")
    compress.add_argument("--sequences", type=at_least(1), metavar="N", help="calibration sequences (default: 8)")
    compress.add_argument("--length", type=at_least(2), metavar="N", help="tokens per sequence (default: 512)")
    compress.add_argument("--draw", type=at_least(0), default=0, metavar="N", help="which draw of it (default: 0)")
    compress.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="everything random but the draw")
    compress.add_argument("--dtype", default="auto", metavar="T", help="auto, float32, bfloat16 or float16")
    compress.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    add_cache(compress)
    add_json(compress)
    export = add_command(commands, "export", "an artifact in a format that other programs load", EXPORT, run_export)
    export.add_argument("artifact", type=Path, metavar="ARTIFACT", help="a folder that `langgap compress` wrote")
    export.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that does not exist yet")
    formats = ("plain", "compressed-tensors", "peft-lora")
    export.add_argument("--format", choices=formats, default="plain", help="see above (default: plain)")
    export.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16", help="of what is not packed"
    )


def run_compress(args: argparse.Namespace) -> ExitCode:
    from harness.checkpoints import pinned
    from harness.config import construct
    from harness.facts import calibrate
    from harness.models import check_bos, resolve
    from harness.plan import calibration_of
    from harness.progress import reporting

    if (args.out / "manifest.json").exists():
        raise UserError(f"{args.out} already holds a finished artifact; name another --out, or remove it first.")
    config = pinned(_config(args), args.cache)
    (spec,) = config.methods
    method = construct(spec)
    with reporting() as reporter:
        resolved = resolve(args.model, args.cache, config.dtype, config.device, reporter.phase)
        check_bos(resolved.source)
        wanted = calibration_of(config, spec)
        calibration = calibrate(resolved.source, config, wanted, args.draw, args.cache) if wanted else None
        try:
            compressed = method.compress(resolved.source, calibration, args.out, reporter.phase)
        except ValueError as error:  # weights, text or options that the method cannot work with, in its own words
            raise UserError(f"{spec.name}: {error}") from error
    size = sum(path.stat().st_size for path in compressed.folder.rglob("*") if path.is_file())
    if args.json:
        made = {"folder": str(compressed.folder), "digest": compressed.digest, "bytes": size}
        print_json({**made, "untouched": dict(compressed.untouched)})
        return ExitCode.OK
    print(f"{compressed.folder}: {megabytes(size)}, digest {compressed.digest}")
    for layer, reason in compressed.untouched.items():
        print(f"langgap: left as it was: {layer}: {reason}", file=sys.stderr)
    return ExitCode.OK


def _config(args: argparse.Namespace) -> SweepConfig:
    """The command's options as a sweep of one variant, so that they are checked like one."""
    from harness.config import parse_config
    from harness.overrides import codes, parse_call

    calibration: dict[str, Any] = {key: getattr(args, key) for key in ("corpus", "sequences", "length")}
    mapping = {
        "models": [args.model],
        "method": [parse_call(args.method)],
        "task": [{"name": "footprint"}],
        "calibration": {key: value for key, value in calibration.items() if value is not None},
        "seed": args.seed,
        "dtype": args.dtype,
        "device": args.device,
    }
    if args.languages:
        mapping["languages"] = codes(args.languages)
    config = parse_config(mapping, "the command line")
    if len(config.methods) > 1:
        raise UserError(f"'{args.method}' is a grid of {len(config.methods)}; compress makes one, sweep makes many.")
    return config


def require_artifact(folder: Path) -> None:
    if not (folder / "manifest.json").is_file():
        state = "is not finished or is none" if folder.is_dir() else "does not exist"
        raise UserError(f"The artifact '{folder}' {state}: it has no manifest.json. Make one with `langgap compress`.")


def run_export(args: argparse.Namespace) -> ExitCode:
    require_artifact(args.artifact)
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"'{args.out}' exists already and is not empty; name a folder that does not exist.")
    from methods.artifact import DamagedArtifact, export, export_compressed_tensors, export_lora

    write = {"plain": export, "compressed-tensors": export_compressed_tensors, "peft-lora": export_lora}[args.format]
    existed = args.out.exists()
    try:
        write(args.artifact, args.out, args.dtype)
    except BaseException as error:
        if not existed:
            shutil.rmtree(args.out, ignore_errors=True)
        if isinstance(error, ValueError) and not isinstance(error, DamagedArtifact):  # a format that cannot hold it
            raise UserError(str(error)) from error
        raise
    print(args.out)
    return ExitCode.OK
