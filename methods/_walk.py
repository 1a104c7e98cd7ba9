"""The only walk over decoder blocks: one block at a time, with the inputs that calibration text gives it.

    for block in walk(source, tokens):
        block.module      the block, its weights in source.dtype on source.device
        block.inputs      its hidden states, a list of (batch, length, hidden)
        block.outputs     what it makes of them: the next block's inputs

Two forms give the same numbers. ``shards`` reads one block's weights at a time straight from the safetensors files,
so that memory holds one block and its hidden states; ``live`` takes the blocks of a whole model in memory.
What else a block is given (masks, rotary embeddings) is the model's own making: its forward runs once with stubs in
place of the blocks, and the stubs keep what they were called with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import torch
from torch import Tensor, nn

from methods._blocks import family
from methods._shards import HEAD, Shards, require_finite
from methods._stored import dtype_name
from methods.base import Source

BATCH_TOKENS = 4096
"""Tokens in one batch of sequences (at least one sequence)."""


class _SeenAll(Exception):
    """Ends a forward pass of which nothing more is wanted."""


class Block:
    """A decoder block in its turn. Memory of its outputs is taken when they are first asked for."""

    def __init__(
        self,
        index: int,
        count: int,
        prefix: str,
        module: nn.Module,
        inputs: list[Tensor] | None,
        kwargs: dict[str, Any],
    ) -> None:
        self.index = index
        self.count = count
        """How many blocks there are in all."""
        self.prefix = prefix
        """Full name of the block in the state dict, such as ``model.layers.7``."""
        self.module = module
        self.inputs = inputs
        """Hidden states ``(batch, length, hidden)``, one tensor per batch; None in a walk without tokens."""
        self.kwargs = kwargs
        """What the model gives this block besides hidden states; right for a batch of any size."""
        self._outputs: list[Tensor] | None = None

    def call(self, hidden: Tensor) -> Tensor:
        """The block's output ``(batch, length, hidden)`` with its weights as they are now."""
        with torch.no_grad():
            output = self.module(hidden, **self.kwargs)
        return output[0] if isinstance(output, tuple) else output

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs for ``inputs``, computed once, at the first asking.

        The next block's inputs are these. A method that changes ``module`` in place chooses by the moment it asks:
        before, the next block sees the original's outputs; after (or never, as the walk then asks), the changed one's.
        """
        return self.observe() if self._outputs is None else self._outputs

    def observe(self, *linears: str, see: Callable[[str, int, Tensor], None] | None = None) -> list[Tensor]:
        """Compute the outputs; ``see(linear, batch, x)`` is shown what each named linear reads on each batch.

        ``x`` is ``(batch, length, features)``.
        """
        if self.inputs is None:
            raise ValueError(f"{self.prefix} has no outputs: this walk was begun without tokens.")
        batch, outputs = 0, []

        def shown(linear: str, x: Tensor) -> None:
            if see:
                see(linear, batch, x)

        with self._watching(linears, shown):
            for batch, hidden in enumerate(self.inputs):  # noqa: B007 (shown reads it)
                outputs.append(_finite_activations(self.call(hidden), self.prefix))
        self._outputs = outputs
        return outputs

    def peek(self, *linears: str, see: Callable[[str, int, Tensor], None]) -> None:
        """Show ``see`` what ``observe`` would, and stop there: nothing beyond the last named linear is computed."""

        def shown(linear: str, x: Tensor) -> None:
            see(linear, batch, _finite_activations(x, f"{self.prefix}, before {linear},"))
            left.discard(linear)
            if not left:
                raise _SeenAll

        with self._watching(linears, shown):
            for batch, hidden in enumerate(self.inputs or []):  # noqa: B007 (shown reads it)
                left = set(linears)
                with suppress(_SeenAll):
                    self.call(hidden)

    @contextmanager
    def _watching(self, linears: Iterable[str], see: Callable[[str, Tensor], None]) -> Iterator[None]:
        """Call ``see`` with what each named linear reads, as long as this lasts."""

        def shown(linear: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            return lambda module, args: see(linear, args[0])

        hooks = [self.module.get_submodule(linear).register_forward_pre_hook(shown(linear)) for linear in linears]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def tensors(self) -> dict[str, Tensor]:
        """The block's state dict under full names."""
        return {f"{self.prefix}.{name}": tensor for name, tensor in self.module.state_dict().items()}


def walk(source: Source, tokens: Tensor | None = None, form: Literal["shards", "live"] = "shards") -> Iterator[Block]:
    """Every decoder block in order.

    ``tokens`` int64 ``(n, length)``: sequences without padding; None walks over weights only.
    Raises UnsupportedModel, and ValueError for weights or hidden states that are not finite (by name).
    """
    model = source.model() if form == "live" else _skeleton(source)
    shards = Shards(source.folder) if form == "shards" else None
    prefix = family(source.config).blocks
    decoder = model.get_decoder()
    layers = list(decoder.layers)
    inputs: list[Tensor] | None = None
    kwargs: list[dict[str, Any]] = [{} for _ in layers]
    if tokens is not None:
        if shards is not None:
            name = prefix.rpartition(".")[0] + ".embed_tokens.weight"
            _fill(decoder.get_input_embeddings(), {"weight": shards[name]}, source)
        inputs, kwargs = _record(decoder, tokens.to(source.device))
    decoder.layers = nn.ModuleList()  # from here on, `layers` alone keeps a block in memory
    if shards is not None:
        decoder.embed_tokens = nn.Identity()
    for index in range(len(layers)):
        module, layers[index] = layers[index], None
        name = f"{prefix}.{index}"
        if shards is not None:
            load_block(module, name, shards, source)
        block = Block(index, len(layers), name, module, inputs, kwargs[index])
        for key, tensor in block.tensors().items():
            require_finite(key, tensor)
        yield block
        inputs = block.outputs if inputs is not None and index + 1 < len(layers) else None


def load_block(module: nn.Module, prefix: str, shards: Shards, source: Source) -> None:
    """Give a decoder block its stored weights, in ``source.dtype`` on ``source.device``; it may be on ``meta``."""
    relative = (name.removeprefix(prefix + ".") for name in shards.names() if name.startswith(prefix + "."))
    _fill(module, {name: shards[f"{prefix}.{name}"] for name in relative}, source)


def head(source: Source) -> Callable[[Tensor], Tensor]:
    """What follows the last block (norm, head, softcapping): ``(..., hidden)`` -> float32 ``(..., vocabulary)``."""
    model, shards = _skeleton(source), Shards(source.folder)
    norm, output = model.get_decoder().norm, model.get_output_embeddings()
    _fill(norm, {"weight": shards[family(source.config).blocks.rpartition(".")[0] + ".norm.weight"]}, source)
    _fill(output, {"weight": shards[HEAD]}, source)
    cap = getattr(model.config, "final_logit_softcapping", None)

    def logits(hidden: Tensor) -> Tensor:
        found = output(norm(hidden)).float()
        return found if cap is None else cap * torch.tanh(found / cap)

    return logits


def rest(source: Source) -> dict[str, Tensor]:
    """Every stored tensor outside the decoder blocks (embeddings, final norm, untied head), as it is stored."""
    shards = Shards(source.folder)
    prefix = family(source.config).blocks + "."
    tensors = {name: shards[name] for name in shards.names() if not name.startswith(prefix)}
    for name, tensor in tensors.items():
        require_finite(name, tensor)
    return tensors


def _skeleton(source: Source) -> Any:
    """The model without memory for weights: parameters on the meta device, buffers (rotary frequencies) real."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(source.folder)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, source.dtype))
    return model.eval()


def _cast(tensor: Tensor, source: Source) -> Tensor:
    dtype = getattr(torch, source.dtype) if tensor.is_floating_point() else tensor.dtype
    return tensor.to(device=source.device, dtype=dtype)


def _fill(module: nn.Module, tensors: dict[str, Tensor], source: Source) -> None:
    """Give a module of the skeleton its weights; a missing or unknown name is an error."""
    module.load_state_dict({name: _cast(tensor, source) for name, tensor in tensors.items()}, strict=True, assign=True)
    module.to(source.device)


class _Stub(nn.Module):
    """Stands where a block stood: keeps what it is called with and hands the hidden states on."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if hasattr(layer, "attention_type"):  # some versions of transformers ask the layer which mask it wants
            self.attention_type = layer.attention_type
        self.hidden: Tensor | None = None
        self.kwargs: dict[str, Any] = {}

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        self.hidden, self.kwargs = hidden_states, kwargs
        return hidden_states


def _record(decoder: Any, tokens: Tensor) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Inputs of the first block, one tensor per batch, and each block's keyword arguments.

    The arguments are taken from a single sequence: all sequences have one length, and what was made for a batch of
    one serves a batch of any size by broadcasting.
    """
    layers, norm = decoder.layers, decoder.norm
    stubs = [_Stub(layer) for layer in layers]
    decoder.layers, decoder.norm = nn.ModuleList(stubs), nn.Identity()
    try:
        with torch.no_grad():
            inputs = []
            for batch in tokens.split(max(1, BATCH_TOKENS // tokens.shape[1])):
                decoder(input_ids=batch, use_cache=False)
                inputs.append(_finite_activations(stubs[0].hidden, "the token embedding"))
            decoder(input_ids=tokens[:1], use_cache=False)
    finally:
        decoder.layers, decoder.norm = layers, norm
    return inputs, [stub.kwargs for stub in stubs]


def _finite_activations(hidden: Tensor | None, name: str) -> Tensor:
    assert hidden is not None
    bad = hidden.numel() - int(torch.isfinite(hidden).sum())
    if bad:
        dtype = dtype_name(hidden.dtype)
        raise ValueError(
            f"{name} gives {bad} of {hidden.numel()} values that are not finite on the calibration text in {dtype}; "
            "its weights are finite, so the dtype is too narrow for this model: try dtype bfloat16 or float32."
        )
    return hidden
