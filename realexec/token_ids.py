"""Prompt token ids of a call: named text from a seeded generator, outputs of earlier calls as they were generated.

The ids of the text called `name` with `count` tokens are the little-endian 32-bit words of the extendable-output
function SHAKE-128 (FIPS 202) over the UTF-8 bytes of ``"{seed}/{count}/{name}"``, each reduced modulo the number of
usable ids and shifted past the reserved ones. So the same name and count are the same ids in every run, process and
version. Another name, or another count of the same name, is another text from its first token on, as it is to the
simulator (`traces.prefix.content_keys`).

Two different texts of n usable ids begin with the same token once in n times, and share a whole KV block of 16 tokens
once in n^16: prefix caches, which share whole blocks, never mix them up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from traces.workload import Call


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Token ids of named text.

    Parameters
    ----------
    vocab_size : int
        Ids are below it. The default is Llama 2's, which every larger vocabulary contains.
    num_reserved : int
        Ids below it are not used: special ids and single bytes stand there in Llama's and most other vocabularies.
        Those that keep special ids at the end (Llama 3, Qwen 2) have more than `vocab_size` others before them.
    seed : int

    Raises
    ------
    ValueError
        When fewer than two ids are left, or a value is negative.
    """

    vocab_size: int = 32_000
    num_reserved: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_reserved", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.vocab_size > 2**31 or self.vocab_size - self.num_reserved < 2:
            raise ValueError(
                f"vocab_size={self.vocab_size} must exceed num_reserved={self.num_reserved} by at least 2, and be at "
                "most 2**31"
            )

    def of_text(self, name: str, count: int) -> list[int]:
        """The `count` ids of the text called `name`.

        Examples
        --------
        >>> TokenIds().of_text("instruction", 3) == TokenIds().of_text("instruction", 3)
        True
        """
        key = f"{self.seed}/{count}/{name}".encode()
        words = np.frombuffer(hashlib.shake_128(key).digest(4 * count), dtype="<u4")
        ids: list[int] = (words % (self.vocab_size - self.num_reserved) + self.num_reserved).tolist()
        return ids

    def of_prompt(self, call: Call, outputs: Mapping[str, list[int]]) -> list[int]:
        """Token ids of a call's whole prompt.

        Parameters
        ----------
        call : Call
        outputs : mapping of call id to list of int
            What the calls named by `output_of` generated.
        """
        ids: list[int] = []
        for part in call.prompt:
            if part.segment is not None and part.tokens is not None:
                ids += self.of_text(part.segment, part.tokens)
            else:
                ids += outputs[part.output_of or ""]
        return ids
