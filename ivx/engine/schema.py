"""The columns of a sweep's table."""

from __future__ import annotations

import pyarrow as pa

TOP = 10
"""How many of the highest logits are kept, with their token ids."""

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("patch", pa.string()),
        ("logit", pa.float64()),
        ("contrast", pa.float64()),
        ("logsumexp", pa.float64()),
        ("rank", pa.int32()),
        ("kl_target", pa.float64()),
        ("kl_reference", pa.float64()),
        ("top_ids", pa.list_(pa.int32())),
        ("top_logits", pa.list_(pa.float64())),
    ]
)


KEY = ("role", "site", "patch", "sample")
