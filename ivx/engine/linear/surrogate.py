"""The locally linear surrogate: a logit split exactly over tokens, heads, MLPs and edges by one backward sweep.

A frozen forward pass (`ivx.engine.linear.frozen`) is cut at every block's input and at every head's output, so that the
sweep meets each part's derivative on its way back. With `g` the derivative by a block's output, and `ĝ` by its heads'
z:

    node(ℓ, t)      = ⟨g, x_ℓ(t)⟩                   what block ℓ's output at t is worth, by all ways onward
    head(ℓ, h, q)   = ⟨ĝ(q, h), z(q, h)⟩            what head h wrote at q
    edge(ℓ, h, s→q) = A(q, s) ⟨ĝ(q, h), v(s, h)⟩    … of it, what it read at s
    stay(ℓ, t)      = node(ℓ−1, t) less its edges   what goes on at t, by residual and MLP

Three identities hold exactly: the nodes of a layer and the constants after it sum to the logit; a node at a block's
output is the block's stay, the edges into it and the constants added there; a node at a block's input is the block's
stay and the edges out of it, less the constants that these carry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ivx.engine.forward.kernel import mixed, spread
from ivx.engine.hooks.sites import Place, Writes, write
from ivx.engine.linear.frozen import Held, frozen, parts_of
from ivx.engine.turns import only_user
from ivx.errors import IvxError
from ivx.models.model import Model


@dataclass(frozen=True)
class Attribution:
    """What every part of a batch contributes to a logit, or to the difference of two; float64 on the CPU.

    Attributes:
        total: the logit itself `[batch]`; before a final softcap, where the architecture has one.
        nodes: `[batch, layers + 1, tokens]`; row 0 is the embeddings, row ℓ + 1 the output of block ℓ.
        stay, mlp: `[batch, layers, tokens]`. `mlp` is what the MLP wrote, which stay, heads and added hold already.
        heads: `[batch, layers, heads, tokens]`.
        edges: `[batch, layers, heads, to, from]`; over `from` they sum to `heads`.
        added, carried: constants `[batch, layers, tokens]`: biases added at a token after the heads, and those in the
            values that heads read there.
        put: `[batch, layers, tokens]`: states that were patched in at a block's output.
        final: biases after the last block `[batch]`.
    """

    total: Tensor
    nodes: Tensor
    stay: Tensor
    mlp: Tensor
    heads: Tensor
    edges: Tensor
    added: Tensor
    carried: Tensor
    put: Tensor
    final: Tensor

    @property
    def constants(self) -> Tensor:
        """What each block contributes that does not come from the embeddings `[batch, layers]`."""
        return (self.added + self.carried + self.put).sum(-1)

    def deviation(self) -> float:
        """The largest error of any of the three identities, relative to the largest sum of sizes at one layer."""
        later = self.constants.flip(1).cumsum(1).flip(1)
        behind = torch.cat([later, torch.zeros_like(later[:, :1])], dim=1) + self.final[:, None]
        # The largest of all layers: where the answer is as likely as its contrast, the last layer's sum is about 0.
        size = (self.nodes.abs().sum(-1) + behind.abs()).amax(1)
        found = [
            self.nodes.sum(-1) + behind - self.total[:, None],
            self.stay + self.heads.sum(2) + self.added + self.put - self.nodes[:, 1:],
            self.stay + self.edges.sum((2, 3)) - self.carried - self.nodes[:, :-1],
        ]
        return max(float((error.abs().flatten(1).amax(1) / size).nan_to_num().max()) for error in found)

    def rows(self, chosen: Sequence[int]) -> Attribution:
        """Some rows of the batch."""
        return Attribution(**{field.name: getattr(self, field.name)[list(chosen)] for field in fields(self)})


class Surrogate:
    """A frozen run of prompts of one length, with its autograd graph cut into blocks.

    Attributes:
        inputs: of each block, and of what follows the last one: leaves of the graph `[batch, tokens, width]`.
        outputs: of each block, with a graph from its input, its `z` and its constant.
        values: of each layer `[batch, heads, tokens, width]`, one per query head, with a graph from the block's input.
        z: of each layer, leaves `[batch, tokens, heads, width]`.
        attention: `[batch, heads, tokens, tokens]`, queries first.
        logits: `[batch, vocabulary]` of the last token, before any softcap.
    """

    def __init__(
        self, model: Model, prompts: Sequence[Sequence[int]], *, writes: dict[Place, Writes] | None = None
    ) -> None:
        if model.dtype not in (torch.float32, torch.float64):
            raise IvxError(
                f"{model.name} is in {str(model.dtype).removeprefix('torch.')}, in which parts do not sum to the "
                "whole: load it with dtype float32 or float64"
            )
        if model.stream is not None:
            raise IvxError(
                f"the weights of {model.name} are streamed, and pathways go through each of them many times: load it "
                "with weights='whole', --weights whole"
            )
        parts, writes = parts_of(model), writes or {}
        if any(site != "resid_post" for site, _ in writes):
            raise IvxError("pathways of a patched run are known for resid_post only: patch resid_post")
        self.model, self.prompts, self.writes = model, prompts, writes
        self.ids = torch.tensor(prompts, device=model.device)
        batch, tokens = self.ids.shape
        self.held: Held = {}
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.values: list[Tensor] = []
        self.z: list[Tensor] = []
        self.mlp: list[Tensor] = []
        self.arguments: list[dict[str, Any]] = []
        self.constants = [
            torch.ones(batch, n, 1, device=model.device, dtype=model.dtype, requires_grad=True)
            for n in [tokens] * model.layers + [1]
        ]
        with (
            only_user(model),
            torch.enable_grad(),
            write(model, writes),
            self._cut(),
            frozen(model, self.held, self.constants, self._attend),
        ):
            self.logits = model.hf(input_ids=self.ids, use_cache=False, logits_to_keep=1).logits[:, -1]
        self.attention = [self.held[module] for module in parts.attention]

    def _attend(self, layer: int, attention: Tensor, values: Tensor) -> Tensor:
        self.values.append(spread(values, attention.shape[1]))
        z = torch.matmul(attention, self.values[-1]).transpose(1, 2).detach().requires_grad_()
        self.z.append(z)
        return z

    @contextmanager
    def _cut(self) -> Iterator[None]:
        facts, last = self.model.anatomy, self.model.layers - 1
        scale = facts.scale_of(self.model.hf.config)

        def leaf(state: Tensor) -> Tensor:
            self.inputs.append(state.detach().requires_grad_())
            return self.inputs[-1]

        def before(module: nn.Module, args: tuple, named: dict) -> tuple[tuple, dict]:
            if args:
                self.arguments.append({"args": args[1:], "named": named})
                return (leaf(args[0]), *args[1:]), named
            rest = {k: v for k, v in named.items() if k != "hidden_states"}
            self.arguments.append({"args": (), "named": rest})
            return args, {**named, "hidden_states": leaf(named["hidden_states"])}

        def after(module: nn.Module, args: tuple, output: Any) -> Any:
            state = output if isinstance(output, Tensor) else output[0]
            self.outputs.append(state)
            if len(self.outputs) <= last:
                return None
            return leaf(state) if isinstance(output, Tensor) else (leaf(state), *output[1:])

        def added(module: nn.Module, args: tuple, output: Any) -> None:
            self.mlp.append((output if isinstance(output, Tensor) else output[0]).detach() * scale)

        with ExitStack() as stack:
            for layer, block in enumerate(self.model.blocks):
                for hook in (
                    block.register_forward_pre_hook(before, with_kwargs=True),
                    self.model.module(layer, facts.mlp_added).register_forward_hook(added),
                    block.register_forward_hook(after),
                ):
                    stack.callback(hook.remove)
            yield

    def top(self, answer: Sequence[int], contrast: Sequence[int] | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The answer's logit, or its difference from the contrast's `[batch]`; its derivative with respect to the last
        block's output `[batch, tokens, width]`; and what later biases contribute `[batch]`."""
        z = self._of(answer) if contrast is None else self._of(answer) - self._of(contrast)
        slope, final = _grad(z.sum(), [self.inputs[-1], self.constants[-1]])
        return z.detach(), slope, final.sum((1, 2)).detach()

    def _of(self, tokens: Sequence[int]) -> Tensor:
        return self.logits.gather(1, torch.tensor(list(tokens), device=self.logits.device)[:, None]).squeeze(1)

    def sweep(self, answer: Sequence[int], contrast: Sequence[int] | None = None) -> Attribution:
        """What every part contributes to each sample's answer logit, or to answer − contrast."""
        total, slope, final = self.top(answer, contrast)
        layers = self.model.layers
        found: dict[str, list[Tensor]] = {
            name: [] for name in ("nodes", "stay", "mlp", "heads", "edges", "added", "carried", "put")
        }
        for layer in reversed(range(layers)):
            states, attention = self.inputs[layer], self.attention[layer]
            nodes = (slope * self.inputs[layer + 1]).sum(-1)
            found["nodes"].append(nodes)
            found["mlp"].append((slope * self.mlp[layer]).sum(-1))
            found["put"].append(nodes * self._is_put(layer))
            stay, at_z, added = _grad(self.outputs[layer], [states, self.z[layer], self.constants[layer]], slope)
            found["stay"].append((stay * states).sum(-1))
            found["heads"].append((at_z * self.z[layer]).sum(-1).transpose(1, 2))
            found["added"].append(added.squeeze(-1))
            at_z = at_z.transpose(1, 2)
            found["edges"].append(attention * torch.matmul(at_z, self.values[layer].transpose(-1, -2)))
            read, carried = _grad(
                self.values[layer], [states, self.constants[layer]], torch.matmul(attention.transpose(-1, -2), at_z)
            )
            found["carried"].append(carried.squeeze(-1))
            slope = stay + read
        found["nodes"].append((slope * self.inputs[0]).sum(-1))
        stacked = {name: torch.stack(parts[::-1], dim=1).detach().double().cpu() for name, parts in found.items()}
        return Attribution(total=total.double().cpu(), final=final.double().cpu(), **stacked)

    def _is_put(self, layer: int) -> Tensor:
        put = torch.zeros_like(self.inputs[0][..., 0])
        if ("resid_post", layer) in self.writes:
            w = self.writes["resid_post", layer]
            put[w.rows, w.positions] = 1
        return put

    def along(self, edges: Tensor) -> Tensor:
        """Last-token logits `[batch, vocabulary]` summed over all paths that take only these edges.

        Args:
            edges: true where an edge may be taken `[batch, layers, heads, to, from]`.
        """
        taken = edges.to(self.model.device)

        def attend(layer: int, attention: Tensor, values: Tensor) -> Tensor:
            return mixed(layer, attention * taken[:, layer], values)

        constants = [constant.detach() for constant in self.constants]
        with (
            torch.no_grad(),
            only_user(self.model),
            write(self.model, self.writes),
            frozen(self.model, self.held, constants, attend),
        ):
            return self.model.hf(input_ids=self.ids, use_cache=False, logits_to_keep=1).logits[:, -1]

    def linear(self, states: Tensor, constant: Tensor) -> Tensor:
        """The frozen model as the linear function it is: last-token logits `[rows, vocabulary]`.

        Args:
            states: in place of the embeddings `[rows, tokens, width]`; of a run of one prompt.
            constant: in place of the 1 that biases are multiplied by `[rows]`.
        """
        if len(self.ids) > 1:
            raise ValueError("one prompt at a time")
        constants = [constant[:, None, None]] * (self.model.layers + 1)

        def begin(module: nn.Module, args: tuple, named: dict) -> tuple[tuple, dict]:
            return ((states, *args[1:]), named) if args else (args, {**named, "hidden_states": states})

        hook = self.model.blocks[0].register_forward_pre_hook(begin, with_kwargs=True)
        try:
            with only_user(self.model), frozen(self.model, self.held, constants, mixed):
                ids = self.ids.expand(len(states), -1)
                return self.model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
        finally:
            hook.remove()


def _grad(of: Tensor, by: list[Tensor], weights: Tensor | None = None) -> list[Tensor]:
    found = torch.autograd.grad(of, by, weights, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if slope is None else slope for x, slope in zip(by, found, strict=True)]
