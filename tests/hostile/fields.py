"""Values of a config, of the wrong type, sign or size."""

from __future__ import annotations

from typing import Any

from tests.hostile.case import Case, config

COUNTS = [
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "head_dim"),
]
NO_COUNTS: tuple[Any, ...] = (0, -1, 10**12, 10**40, 1.5, "x", True, [1], {"a": 1})
NONSENSE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("evil", "", 5, ["silu"], {"a": 1}),
    "rope_scaling": ({"type": "evil"}, {"type": 5}, {"rope_type": "yarn"}, [1], "x"),
    "rope_parameters": ({"rope_type": "evil", "rope_theta": 1e4}, {"rope_theta": "x"}, {"rope_theta": -1.0}, 7),
    "rms_norm_eps": (0.0, -1.0, "x", [], 10**400),
    "dtype": ("evil", "load", 5, ["float32"], "nn.Linear"),
    "torch_dtype": ("evil", 7),
    "tie_word_embeddings": ("x", 2, []),
    "attention_bias": ("x", 3),
    "attention_dropout": ("x", []),
    "initializer_range": ("x", None),
    "num_labels": (10**12, -1, "x", 1.5),
    "id2label": (5, "x", {"x": "y"}),
    "eos_token_id": ("x", {"a": 1}, 1.5),
    "pad_token_id": ("x", []),
    "pretraining_tp": (-1, "x", 10**12),
    "architectures": (5, "LlamaForCausalLM", ["BertModel"], [None], [5]),
    "model_type": (5, "", None, [], "evil", "bert", "gptj", "../llama", "llama\0"),
    "layer_types": (["evil"] * 2, ["full_attention"] * 9, 5),
    "chunk_size_feed_forward": (7, "x"),
    "use_cache": ("x",),
}
WHY = "a traceback, memory without end, or a model that nobody meant"


def cases() -> list[Case]:
    """All of them."""
    found = [
        Case(f"{field} is {value!r:.30}", WHY, config(**{field: value}), rf"{field}|not readable JSON")
        for field in COUNTS
        for value in NO_COUNTS
    ]
    found += [
        Case(
            f"{field} is {value!r:.30}",
            WHY,
            config(**{field: value}),
            rf"{field}|config\.json|not readable JSON|not a causal|transformers does not know|is not known",
        )
        for field, values in NONSENSE.items()
        for value in values
    ]
    big = "a model that needs more memory than there is: known before it is allocated"
    found += [
        Case("a million wide", big, config(hidden_size=262_144, head_dim=65_536), "need about|cannot be read"),
        Case("512 layers", big, config(num_hidden_layers=512), "lack|missing|took more"),
        Case("16 million words", big, config(vocab_size=16_777_216), "need about|cannot be read"),
        Case("four million inside", big, config(intermediate_size=4_194_304), "need about|cannot be read"),
        Case("as many positions as there can be", "nothing: they are computed", config(max_position_embeddings=10**9)),
        Case("another width", "weights in the wrong place", config(hidden_size=64), "cannot be read|shape"),
        Case(
            "one head more", "weights in the wrong place", config(num_attention_heads=5), r"cannot be read|shape|heads"
        ),
        Case("a layer more", "a layer of random numbers", config(num_hidden_layers=3), "lack|missing|has no|holds no"),
        Case("a layer less", "weights left out", config(num_hidden_layers=1), "set num_hidden_layers to 2"),
        Case(
            "code of its own",
            "it is run",
            config(auto_map={"AutoModelForCausalLM": "evil.Evil"}, model_type="evil"),
            "code of its own",
        ),
        Case("code beside a known name", "it is run", config(auto_map={"AutoModelForCausalLM": "evil.Evil"})),
        Case(
            "weights of another name",
            "other weights are read",
            config(transformers_weights="../outside/model.safetensors"),
            "",
        ),
        Case("heads to prune", "another model", config(pruned_heads={"0": [0]}), "", other=True),
        Case(
            "the name of another checkpoint",
            "it is read",
            config(_name_or_path="../outside", name_or_path="../outside"),
        ),
        Case("a tokenizer class", "it is imported", config(tokenizer_class="os.system")),
        Case("an encoder", "another pass", config(is_encoder_decoder=True), "", other=True),
    ]
    return found
