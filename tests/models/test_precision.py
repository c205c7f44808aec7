"""Half-precision arithmetic: its error is measured at load, told, and never the default."""

from __future__ import annotations

import pytest
import torch

from ivx.models import doctor, precision
from ivx.ui.kit import pieces
from tests.support.random_models import random_model

IDS = torch.arange(14).reshape(2, 7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_error_of_half_precision_is_that_of_its_effects(dtype: torch.dtype) -> None:
    """Against rows patched one by one, in the dtype and in float32."""
    model = random_model("llama", dtype=dtype, check=False)
    found = precision.error_of(model, IDS)
    assert found is not None

    def effects(of: torch.nn.Module) -> torch.Tensor:
        rows = []
        tokens = torch.linspace(0, model.vocabulary - 1, precision.TOKENS).long()
        blocks = list(of.get_submodule(model.anatomy.blocks).children())
        with torch.inference_mode():
            plain = of(input_ids=IDS[1:], use_cache=False).logits[0, -1].double()
            for block in blocks:
                seen: list[torch.Tensor] = []
                handle = block.register_forward_hook(lambda m, a, out, seen=seen: seen.append(out))
                of(input_ids=IDS[:1], use_cache=False)
                handle.remove()

                def put(m: object, a: object, out: torch.Tensor, seen: list[torch.Tensor] = seen) -> torch.Tensor:
                    out = out.clone()
                    out[0, 3] = seen[0][0, 3]
                    return out

                handle = block.register_forward_hook(put)
                rows.append(of(input_ids=IDS[1:], use_cache=False).logits[0, -1].double() - plain)
                handle.remove()
        return torch.stack(rows)[:, tokens]

    wide = precision.widened(model)
    assert wide is not None and wide.dtype == torch.float32 and model.dtype == dtype
    half, full = effects(model.hf), effects(wide.hf)
    assert found.spread == pytest.approx(float(full.std()), rel=1e-3)
    assert 0 < found.rms < found.most < found.spread
    assert found.rms == pytest.approx(float((half - full).square().mean().sqrt()), rel=0.3)


def test_the_report_tells_it_and_full_precision_has_nothing_to_tell() -> None:
    told = [c for c in doctor.checkup(random_model("llama", dtype=torch.bfloat16, check=False)).checks]
    (half,) = [check for check in told if check.name == doctor.PRECISION]
    assert half.passed and half.deviation and "effects differ from float32's by rms" in half.detail
    for dtype in (torch.float32, torch.float64):
        report = doctor.checkup(random_model("llama", dtype=dtype, check=False))
        assert doctor.PRECISION not in [check.name for check in report.checks]
    assert pieces.HALF_PRECISION == doctor.PRECISION


def test_what_is_too_large_for_a_copy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "COPIED_BYTES", 10)
    report = doctor.checkup(random_model("llama", dtype=torch.bfloat16, check=False))
    (half,) = [check for check in report.checks if check.name == doctor.PRECISION]
    assert half.passed and half.deviation is None and "not compared" in half.detail
