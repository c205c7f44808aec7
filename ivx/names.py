"""Names of the same states in other tools: TransformerLens, its TransformerBridge, nnsight and nnterp.

An address of ivx without a value, `resid_post.5`, `resid_post.5@-1` or `z.5.3@-1`, stands for a tensor `[batch, tokens,
width]`, or a part of one; so does `blocks.5.hook_resid_post[:, -1]`. What has no equal is refused, not named nearly: a
name that reads alike and holds something else is worse than none.

TransformerLens's own `from_pretrained` folds norms and centres weights unless told not to: its values are then others.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from ivx.engine.address import SITES
from ivx.errors import AddressError
from ivx.models.anatomy import ANATOMIES, Anatomy

TOOLS = ("transformer_lens", "transformer_bridge", "nnsight", "nnterp")
"""HookedTransformer of TransformerLens to version 3, TransformerBridge of version 4, nnsight, and nnterp."""
_ADDRESS = re.compile(r"([a-z_]+)\.(\d{1,4})(?:\.(\d{1,4}))?(?:@(\*|-?\d{1,9}))?", re.ASCII)
_INDEX = re.compile(r"\[:, (:|-?\d{1,9})(?:, (\d{1,7})(?::(\d{1,7}))?)?\]$", re.ASCII)
_LAYER = re.compile(r"(?:blocks\.|layers\[|h\[|layers_input\[|s_output\[)(\d{1,4})", re.ASCII)
_OWN = {"self_attn", "attn", "attention"}
"""Modules of attention itself, which return a tuple; others that add to the stream are norms."""


class _Place(NamedTuple):
    """A state: its site and layer, its head and its token where it is a part."""

    site: str
    layer: int
    head: int | None
    token: str | None

    def __str__(self) -> str:
        head = "" if self.head is None else f".{self.head}"
        return f"{self.site}.{self.layer}{head}" + ("" if self.token is None else f"@{self.token}")


def name_of(address: str, tool: str, *, model_type: str = "llama", head_dim: int | None = None) -> str:
    """What a tool calls the state at an address.

    Args:
        address: `site.layer[.head][@position]`.
        tool: one of `TOOLS`.
        model_type: the architecture, as a config of transformers names it: nnsight calls modules by their own names.
        head_dim: width of a head, for a head in nnsight, where heads lie side by side.

    Raises:
        AddressError: it is no such address, or the tool has no equal.
    """
    place = _parsed(address)
    base = _forms(place.site, place.layer, tool, _facts(model_type), model_type)[0]
    if place.head is None and place.token in (None, "*"):
        return base
    token = ":" if place.token in (None, "*") else place.token
    if place.head is None:
        return f"{base}[:, {token}]"
    if tool != "nnsight":
        return f"{base}[:, {token}, {place.head}]"
    if head_dim is None:
        raise AddressError(f"{address}: heads lie side by side in nnsight: say how wide one is with head_dim=")
    return f"{base}[:, {token}, {place.head * head_dim}:{(place.head + 1) * head_dim}]"


def address_of(name: str, tool: str, *, model_type: str = "llama", head_dim: int | None = None) -> str:
    """The address of what a tool calls so; the inverse of `name_of`, which also reads a tool's older names.

    Raises:
        AddressError: ivx has no equal.
    """
    facts, whole = _facts(model_type), name.strip()
    index = _INDEX.search(whole)
    base = whole[: index.start()] if index else whole
    layer = _LAYER.search(base)
    for site in SITES if layer else ():
        try:
            forms = _forms(site, int(layer[1]) if layer else 0, tool, facts, model_type)
        except AddressError:
            continue
        if base in forms:
            token, first, last = index.groups() if index else (None, None, None)
            head = _head(name, first, last, head_dim) if first else None
            if head is not None and site != "z":
                raise AddressError(f"{name!r:.80}: a part of {site} has no address: leave the last index out")
            return str(_Place(site, int(layer[1]) if layer else 0, head, None if token in (None, ":") else token))
    raise AddressError(f"{name!r:.80} of {tool} has no equal in ivx on {model_type}: its sites are {', '.join(SITES)}")


def table(model_type: str = "llama", *, layer: int = 0) -> dict[str, dict[str, str | None]]:
    """Every site of a layer and its name in each tool; None where there is no equal."""
    found: dict[str, dict[str, str | None]] = {}
    for site in SITES:
        found[site] = {}
        for tool in TOOLS:
            try:
                found[site][tool] = name_of(f"{site}.{layer}", tool, model_type=model_type)
            except AddressError:
                found[site][tool] = None
    return found


def _parsed(address: str) -> _Place:
    found = _ADDRESS.fullmatch(address)
    if found is None or found[1] not in SITES or (found[3] is not None and found[1] != "z"):
        raise AddressError(
            f"{address!r:.80} is no place: write site.layer[.head][@position] with a site of {', '.join(SITES)}; a "
            "name says where, not what is put there"
        )
    return _Place(found[1], int(found[2]), None if found[3] is None else int(found[3]), found[4])


def _facts(model_type: str) -> Anatomy:
    if model_type not in ANATOMIES:
        raise AddressError(f"{model_type!r:.40} is no architecture that ivx knows: `docs/models.md` lists them")
    return ANATOMIES[model_type]


def _head(name: str, first: str, last: str | None, head_dim: int | None) -> int:
    """The head that an index takes: its number, or from its first to behind its last column."""
    if last is None:
        return int(first)
    if not head_dim or int(first) % head_dim or int(last) - int(first) != head_dim:
        raise AddressError(f"{name!r:.80}: these columns are no head: say how wide one is with head_dim=")
    return int(first) // head_dim


def _forms(site: str, layer: int, tool: str, facts: Anatomy, model_type: str) -> tuple[str, ...]:
    """What a tool calls a site of a layer, the name that is written first; raises `AddressError` for none."""
    if tool not in TOOLS:
        raise AddressError(f"there is no tool {tool!r:.40}: choose of {', '.join(TOOLS)}")
    if site == "resid_mid" and facts.parallel:
        _refuse(site, tool, f"in {model_type} attention and MLP read the same state, so that none lies between them")
    if facts.multiplier and site in ("attn_out", "mlp_out"):
        _refuse(site, tool, f"{model_type} multiplies what a module returns before it is added")
    plain = facts.attn_added.rpartition(".")[2] in _OWN
    if tool == "nnsight":
        return _nnsight(site, layer, facts)
    if tool == "nnterp":
        if site in ("attn_out", "mlp_out") and not plain:
            _refuse(site, tool, f"what its module returns passes a norm of {model_type} before it is added")
        names = {"resid_pre": "layers_input", "resid_post": "layers_output"}
        names |= {"attn_out": "attentions_output", "mlp_out": "mlps_output"}
        if site not in names:
            _refuse(site, tool, "it has no accessor for it")
        return (f"{names[site]}[{layer}]", f"model.{names[site]}[{layer}]")
    return _lens(site, f"blocks.{layer}.", tool, plain, model_type)


def _lens(site: str, block: str, tool: str, plain: bool, model_type: str) -> tuple[str, ...]:
    hooked = block + ("attn.hook_z" if site == "z" else f"hook_{site}")
    if tool == "transformer_lens":
        return (hooked,)
    if site == "resid_mid" and not plain:
        _refuse(site, tool, f"where the norms of {model_type} stand decides what its hook holds, and ivx cannot tell")
    own = {
        "resid_pre": "hook_in",
        "resid_mid": "ln2.hook_in",
        "resid_post": "hook_out",
        "attn_out": "attn.hook_out" if plain else "ln1_post.hook_out",
        "mlp_out": "mlp.hook_out" if plain else "ln2_post.hook_out",
        "z": "attn.o.hook_in",
    }
    return (block + own[site], hooked)


def _nnsight(site: str, layer: int, facts: Anatomy) -> tuple[str, ...]:
    block = f"model.{facts.blocks}[{layer}]"
    if site == "resid_mid":
        _refuse(site, "nnsight", "it is a local variable of the block, which no module returns")
    own: tuple[str, ...]
    if site == "attn_out" and facts.attn_added.rpartition(".")[2] in _OWN:
        own = (f"{block}.{facts.attn_added}.output[0]",)
    else:
        path = {
            "resid_pre": "input",
            "resid_post": "output",
            "attn_out": f"{facts.attn_added}.output",
            "mlp_out": f"{facts.mlp_added}.output",
            "z": f"{facts.projection}.input",
        }[site]
        own = (f"{block}.{path}",)
    if site == "resid_post":  # a block returned a tuple before version 5 of transformers
        own = (*own, f"{own[0]}[0]")
    return (*own, *(one.removeprefix("model.") for one in own))


def _refuse(site: str, tool: str, why: str) -> NoReturn:
    raise AddressError(f"{site} has no equal in {tool}: {why}")
