"""Names of other tools: there and back for every site and architecture, and refused where there is no equal."""

from __future__ import annotations

import pytest

import ivx
from ivx.engine.address import SITES
from ivx.errors import AddressError
from ivx.models.anatomy import ANATOMIES
from ivx.names import TOOLS, address_of, name_of, table


@pytest.mark.parametrize("kind", sorted(ANATOMIES))
def test_every_site_goes_there_and_comes_back(kind: str) -> None:
    named = 0
    for site in SITES:
        parts = ["", "@0", "@-1"] + [".3", ".3@-1"] * (site == "z")
        for tool in TOOLS:
            for part in parts:
                address = f"{site}.5{part}"
                try:
                    name = name_of(address, tool, model_type=kind, head_dim=16)
                except AddressError as error:
                    assert "no equal" in str(error)
                    continue
                assert address_of(name, tool, model_type=kind, head_dim=16) == address
                named += 1
    assert named >= 2 * 3 * len(TOOLS)  # the stream before and behind a block has a name everywhere


def test_the_names_are_those_of_the_tools() -> None:
    assert name_of("resid_post.5", "transformer_lens") == "blocks.5.hook_resid_post"
    assert name_of("z.5.3@-1", "transformer_lens") == "blocks.5.attn.hook_z[:, -1, 3]"
    assert name_of("resid_post.5", "transformer_bridge") == "blocks.5.hook_out"
    assert address_of("blocks.5.hook_resid_post", "transformer_bridge") == "resid_post.5"
    assert name_of("attn_out.5", "transformer_bridge", model_type="gemma2") == "blocks.5.ln1_post.hook_out"
    assert name_of("resid_post.5", "nnsight") == "model.model.layers[5].output"
    assert address_of("model.layers[5].output[0]", "nnsight") == "resid_post.5"
    assert name_of("z.2.3", "nnsight", model_type="gpt2", head_dim=64) == (
        "model.transformer.h[2].attn.c_proj.input[:, :, 192:256]"
    )
    assert name_of("resid_post.5@-1", "nnterp") == "layers_output[5][:, -1]"
    assert ivx.names.table("llama", layer=1)["resid_pre"]["nnterp"] == "layers_input[1]"


@pytest.mark.parametrize(
    ("asked", "tool", "kind", "said"),
    [
        ("resid_mid.1", "transformer_lens", "gpt_neox", "same state"),
        ("resid_mid.1", "nnsight", "llama", "local variable"),
        ("attn_out.1", "nnterp", "gemma2", "norm"),
        ("mlp_out.1", "nnsight", "granite", "multiplies"),
        ("z.1", "nnterp", "llama", "accessor"),
        ("resid_post.1@0~-1", "nnsight", "llama", "not what is put"),
        ("q.1", "nnsight", "llama", "no place"),
        ("resid_post.1", "captum", "llama", "no tool"),
        ("resid_post.1", "nnsight", "mamba", "architecture"),
        ("z.1.0", "nnsight", "llama", "head_dim"),
    ],
)
def test_what_has_no_equal_is_refused(asked: str, tool: str, kind: str, said: str) -> None:
    with pytest.raises(AddressError, match=said):
        name_of(asked, tool, model_type=kind)


@pytest.mark.parametrize(
    "name",
    [
        "blocks.5.attn.hook_pattern",
        "blocks.5.hook_resid_post[:, -1, 2]",
        "ln_final.hook_normalized",
        "blocks.x.hook_out",
    ],
)
def test_a_name_without_an_address_is_refused(name: str) -> None:
    with pytest.raises(AddressError):
        address_of(name, "transformer_lens")


def test_the_table_says_where_there_is_none() -> None:
    assert table("granite")["mlp_out"] == dict.fromkeys(TOOLS)
