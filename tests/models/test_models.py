"""Architectures are proved on random weights; whatever cannot be loaded is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig

import ivx
from ivx.analyses.effects.request import EffectsRequest
from ivx.cli.main import main
from ivx.errors import CheckpointError, MemoryRefused, UnsupportedArchitecture
from ivx.models import paths
from ivx.models.anatomy import ANATOMIES, Anatomy
from ivx.models.doctor import FINITE, checkup, is_partial, report_of
from ivx.models.load import load, wrap
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from ivx.patching.prepare import prepare
from tests.support import published
from tests.support.checkpoints import configured
from tests.support.random_models import ROUNDED_WITHIN, random_model

# What rounds to float32 inside cannot give the same in a batch and alone to float64's digits.
EVERY = [(kind, torch.float32) for kind in sorted(ANATOMIES)]
EVERY += [(kind, torch.float64) for kind in sorted(set(ANATOMIES) - ROUNDED_WITHIN)]


@pytest.mark.parametrize(("kind", "dtype"), EVERY)
def test_the_doctor_proves_every_architecture_of_the_table(kind: str, dtype: torch.dtype) -> None:
    report = checkup(random_model(kind, dtype=dtype))
    assert report.passed, [check for check in report.checks if not check.passed]


@pytest.mark.parametrize(
    ("kind", "wrong", "check"),
    [
        ("olmo2", Anatomy(), "the stream adds up"),
        ("gemma2", Anatomy(), "the stream adds up"),
        ("llama", Anatomy(parallel=True), "MLP reads after attention"),
        ("llama", Anatomy(projection="mlp.gate_proj"), "heads are whole"),
    ],
)
def test_the_doctor_finds_a_wrong_fact(kind: str, wrong: Anatomy, check: str) -> None:
    right = random_model(kind)
    model = Model(right.name, right.hf, None, wrong, right.fingerprint)
    failed = [c.name for c in checkup(model).checks if not c.passed]
    assert any(name in (check, check.replace("after", "beside")) for name in failed)


def test_a_directory_is_the_checkpoint_it_copies(checkpoint: Path) -> None:
    copy, built_in = ivx.load(str(checkpoint), dtype="float32"), ivx.load("tiny-sft")
    assert copy.fingerprint == built_in.fingerprint
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(copy.hf(ids).logits, built_in.hf(ids).logits)
    assert ivx.load("tiny-sft", dtype="bfloat16").dtype == torch.bfloat16


def test_three_loads_at_once_get_tensors_of_their_own_dtype() -> None:
    """Reading sets the default dtype of the whole process: alone, each of them is right."""
    for _ in range(5):
        found: dict[str, Model] = {}

        def load(dtype: str, found: dict[str, Model] = found) -> None:
            found[dtype] = ivx.load("tiny-sft", dtype=dtype, check=False)

        threads = [threading.Thread(target=load, args=(dtype,)) for dtype in ("float32", "bfloat16", "float16")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrong = [
            (dtype, name)
            for dtype, model in found.items()
            for name, value in model.hf.named_parameters()
            if value.dtype != getattr(torch, dtype)
        ]
        assert len(found) == 3 and not wrong


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def no_shard(folder: Path) -> None:
    index = {"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not readable JSON"),
        (lambda f: configured(f, model_type="evil", auto_map={"AutoConfig": "evil.Evil"}), "code of its own"),
        (lambda f: configured(f, architectures=["BertForMaskedLM"]), "not a causal language model"),
        (lambda f: configured(f, model_type="unheard_of"), "does not know the architecture 'unheard_of'"),
        (lambda f: configured(f, model_type="gptj", architectures=["GPTJForCausalLM"]), "gptj: what its attention"),
        (no_weights, "pytorch_model.bin, which would have to be unpickled"),
        (cut_weights, "model.safetensors is broken"),
        (no_shard, "model-00001-of-00002.safetensors is missing"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "no tokenizer that can be read"),
        (lambda f: configured(f, hidden_size=64), "cannot be read"),
    ],
)
def test_a_broken_directory_is_one_sentence(checkpoint: Path, harm: Callable[[Path], object], told: str) -> None:
    harm(checkpoint)
    with pytest.raises(CheckpointError, match=told) as caught:
        ivx.load(str(checkpoint))
    assert "\n" not in str(caught.value)


def test_an_unknown_architecture_in_memory_is_refused() -> None:
    hf = published.made(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, is_decoder=True)
    )
    with pytest.raises(UnsupportedArchitecture, match="bert: what its attention and MLP add"):
        ivx.wrap(hf)


def test_what_cannot_fit_is_refused_with_the_numbers(checkpoint: Path) -> None:
    configured(checkpoint, hidden_size=65_536, intermediate_size=262_144, num_hidden_layers=200, head_dim=8192)
    (checkpoint / "model.safetensors").unlink()  # so that nothing could have been read
    shutil.copy(EMBEDDED / "tiny-base" / "model.safetensors", checkpoint)
    with pytest.raises(MemoryRefused, match=r"billion parameters in float32 need about [\d,.]+ GB on cpu"):
        ivx.load(str(checkpoint), dtype="float32")
    with pytest.raises(MemoryRefused, match="allowed by memory_gb"):
        ivx.load("tiny-sft", memory_gb=0.5)


def test_a_lora_adapter_is_merged(tmp_path: Path) -> None:
    base = ivx.load("tiny-sft")
    torch.manual_seed(0)
    tuned = get_peft_model(
        published.read(EMBEDDED / "tiny-sft", dtype=torch.float32),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    ).eval()
    tuned.save_pretrained(str(tmp_path))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        wanted = tuned(ids).logits
    merged = ivx.load("tiny-sft", adapter=str(tmp_path))
    assert (merged.hf(ids).logits - wanted).abs().max() < 1e-4 < (base.hf(ids).logits - wanted).abs().max()
    assert merged.fingerprint != base.fingerprint
    assert not any("lora" in name for name, _ in merged.hf.named_parameters())
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors adapters only"):
        ivx.load("tiny-sft", adapter=str(tmp_path))


def test_the_app_reads_under_its_roots_only(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(checkpoint)
    monkeypatch.setenv(paths.ROOTS, str(allowed))
    for outside in (str(checkpoint), str(allowed / ".." / "copy"), str(allowed / "link"), "/etc"):
        with pytest.raises(CheckpointError, match="not lie under a directory the app may read"):
            paths.within_roots(outside)
    for share in ("\\\\host\\share", "//host/share", "file:///etc", "file://x", "https://host/x"):
        with pytest.raises(CheckpointError, match="a share or an address of the net"):
            paths.within_roots(share)
    for nothing in ("a\0b/c/d", "~nobody-here/x"):
        with pytest.raises(CheckpointError, match="neither a directory nor a hub id"):
            paths.within_roots(nothing)
    inside = Path(shutil.copytree(checkpoint, allowed / "mine"))
    assert paths.within_roots(str(inside)) == str(inside)
    assert paths.within_roots("tiny-sft") == "tiny-sft" and paths.within_roots("org/name@main") == "org/name@main"


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: one gated model, one real one under a revision, and no other."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        status, headers, content = self._found()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _found(self) -> tuple[int, dict[str, str], bytes]:
        commit = "0123456789abcdef0123456789abcdef01234567"
        if "/org/gated" in self.path:
            return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask first"}, b""
        if self.path.startswith("/api/models/org/real"):
            if "/revision/v2" not in self.path and "/tree/" not in self.path:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b""
            files = [p for p in (EMBEDDED / "tiny-sft").iterdir() if p.suffix in (".json", ".safetensors")]
            told = {"id": "org/real", "sha": commit, "siblings": [{"rfilename": p.name} for p in files]}
            tree = [{"type": "file", "path": p.name, "size": p.stat().st_size, "oid": p.name} for p in files]
            content = json.dumps(tree if "/tree/" in self.path else told).encode()
            return 200, {"Content-Type": "application/json"}, content
        if self.path.startswith("/org/real/resolve/"):
            name = self.path.rpartition("/")[2]
            content = (EMBEDDED / "tiny-sft" / name).read_bytes()
            return 200, {"X-Repo-Commit": commit, "ETag": f'"{name}"', "X-Linked-Size": str(len(content))}, content
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def log_message(self, *args: object) -> None:
        """Be quiet."""


@contextmanager
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def doctor(name: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {"HF_HOME": str(home), **environment}
    command = [sys.executable, "-m", "ivx", "doctor", name]
    return subprocess.run(command, capture_output=True, text=True, env=settings, timeout=120)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("org/gated", "org/gated is gated: accept its terms"),
        ("org/none", "the hub has no model 'org/none'"),
        ("org/real@v9", "org/real has no revision 'v9'"),
    ],
)
def test_an_id_that_leads_nowhere_is_one_line_and_status_2(tmp_path: Path, name: str, told: str) -> None:
    with hub() as endpoint:
        found = doctor(name, tmp_path, HF_ENDPOINT=endpoint)
    assert found.returncode == 2 and found.stdout == ""
    assert told in found.stderr and found.stderr.count("\n") == 1 and found.stderr.startswith("ivx: ")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tiny-stf", "did you mean tiny-sft?"),
        ("./does-not-exist", "there is no checkpoint or directory './does-not-exist'"),
        ("a b/c d", "neither a directory nor a hub id"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line_and_status_2(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", name]) == 2
    out, said = capsys.readouterr()
    assert not out and told in said and said.count("\n") == 1 and said.startswith("ivx: ")


def test_a_hub_checkpoint_is_fetched_once_then_works_offline(tmp_path: Path) -> None:
    with hub() as endpoint:
        fetched = doctor("org/real@v2", tmp_path, HF_ENDPOINT=endpoint)
    assert fetched.returncode == 0, fetched.stderr
    assert "every check passed" in fetched.stdout
    again = doctor("org/real@v2", tmp_path, HF_ENDPOINT=endpoint)  # the server is gone
    assert again.returncode == 0 and again.stdout == fetched.stdout
    other = doctor("org/other", tmp_path, HF_ENDPOINT=endpoint)
    assert other.returncode == 2 and "the hub cannot be reached" in other.stderr


def test_a_wrong_anatomy_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, said in (
        (Anatomy(blocks="model.blocks"), "has no blocks at model.blocks"),
        (Anatomy(projection="attn.proj"), "block 0 of llama has no attn.proj"),
        (Anatomy(attn_added="ln_attn"), "block 0 of llama has no ln_attn"),
        (Anatomy(mlp_added="moe"), "block 0 of llama has no moe"),
    ):
        monkeypatch.setitem(ANATOMIES, "llama", wrong)
        for check in (True, False):
            with pytest.raises(UnsupportedArchitecture, match=said):
                random_model("llama", check=check)


def test_half_precision_that_overflows_is_noticed_at_load_on_real_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("tiny-sft", dtype="float16")
    hf: Any = model.hf
    whole = next(check for check in checkup(model).checks if check.name == FINITE)
    assert whole.passed and whole.deviation == 0
    head = hf.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    hf.get_input_embeddings().weight[model.tokenizer(": limpet")["input_ids"][-1]] = torch.inf
    monkeypatch.setattr("ivx.models.doctor.PROMPTS", ("animal : limpet", "animal : otter"))
    found = next(check for check in checkup(model).checks if check.name == FINITE)
    assert not found.passed and is_partial(found), "others can be asked; this one's rows are left out"
    assert found.detail == "logits are finite on 1 of 2 prompts, load it in bfloat16 or float32"
    for block in hf.model.layers:  # finite weights, but what they add to the stream is not
        block.post_attention_layernorm.weight.fill_(6e4)
        block.post_feedforward_layernorm.weight.fill_(6e4)
    hf.get_input_embeddings().weight.nan_to_num_(posinf=1.0)
    with pytest.raises(UnsupportedArchitecture, match="logits are finite on 0 of 2 prompts"):
        wrap(hf, model.tokenizer)


def test_what_the_doctor_found_at_load_stands_in_every_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    model, passes = load("tiny-sft", check=False), []
    model.hf.register_forward_pre_hook(lambda *_: passes.append(1))
    report = report_of(model)
    assert len(passes) > 5 and report == checkup(model), "where it was loaded without, it is made when it is asked for"
    another = load("tiny-sft")
    with monkeypatch.context() as held:
        held.setattr("ivx.models.doctor.checkup", lambda *_: pytest.fail("it was made before"))
        for one in (model, another):
            _, receipt = prepare(one, EffectsRequest("tiny-sft", "animal/colour", samples=2))
            assert receipt["checks"] == [asdict(check) for check in report.checks]
    assert report_of(wrap(model.hf)).checks != report.checks, "a report is of one model: this one has no tokenizer"


def test_a_config_with_a_bad_value_is_said_to_be_one(tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(EMBEDDED / "tiny-sft", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": "lots"}))
    with pytest.raises(CheckpointError, match="hidden_size in .*config.json is 'lots', not a whole number"):
        ivx.load(str(folder))
