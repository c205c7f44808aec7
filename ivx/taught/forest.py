"""A forest: many texts in one pass, what they have in common in front computed once.

Texts of one wording share its tokens, and two answers their prompt. A token stands behind those of its own text alone
and sees no others, so that its state is the one that it has in that text by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Forest(NamedTuple):
    """Texts as one row of tokens.

    Attributes:
        ids, positions: `[1, tokens]`, what each token is, and its place in its own text.
        sees: `[1, 1, tokens, tokens]`, whether the one of a row sees that of a column.
        paths: for each text, where its tokens stand.
    """

    ids: Tensor
    positions: Tensor
    sees: Tensor
    paths: tuple[tuple[int, ...], ...]

    def states(self, hf: Any) -> Tensor:
        """The model's last states, `[tokens, width]`."""
        found = hf.model(
            input_ids=self.ids, position_ids=self.positions, attention_mask=self.sees, use_cache=False
        ).last_hidden_state
        return found[0]


def forest(texts: Sequence[Sequence[int]]) -> Forest:
    """The forest of some texts, given as token ids."""
    nodes: dict[tuple[int, int], int] = {}
    above: list[list[int]] = []
    paths = []
    for text in texts:
        path: list[int] = []
        for token in text:
            at = nodes.setdefault((path[-1] if path else -1, token), len(nodes))
            path.append(at)
            if at == len(above):
                above.append(list(path))
        paths.append(tuple(path))
    sees = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
    for at, seen in enumerate(above):
        sees[at, seen] = True
    return Forest(
        torch.tensor([[token for _, token in nodes]]),
        torch.tensor([[len(seen) - 1 for seen in above]]),
        sees[None, None],
        tuple(paths),
    )
