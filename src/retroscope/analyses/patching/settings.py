"""Settings of activation patching. No torch."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.attribution.patching.corruption import CORRUPTIONS, USUAL
from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Distinct, Range, Seed, check_ranges

# Written out, since the modules that use them take torch to import; a test compares them.
COMPONENT_NAMES = ("head", "ffn", "block")  # see `attribution.patching.components`
TOKEN_NAMES = ("changed", "rest", "all")  # see `attribution.patching.alignment`


@dataclass(frozen=True, kw_only=True)
class PatchingSettings:
    """Settings of activation patching: how queries are corrupted, what is patched, and at which tokens.

    Attributes:
        corruptions: how queries are corrupted: "swapped" (the rarest word is replaced by another query's rarest word
            with as many tokens), "removed" (the rarest word is left out), "order" (the words are shuffled); and, not by
            default, "negated" ("not" is added; English only).
        components: components that are patched: every "head", "ffn" or "block".
        tokens: tokens at which activations are patched: those that the corruption "changed" (if the corrupted text has
            as many in their place), the "rest" of the tokens, or "all".
        limit: the largest number of judged queries, drawn with `seed`. 0 takes all.
        negatives: number of hard negatives. The margin uses the hardest of them.
        seed: seed of the drawn queries, of swapped words and shuffled orders, and of the random changes.
    """

    corruptions: Annotated[tuple[str, ...], Distinct()] = USUAL
    components: Annotated[tuple[str, ...], Distinct()] = COMPONENT_NAMES
    tokens: Annotated[tuple[str, ...], Distinct()] = ("changed", "rest")
    limit: AnyNumber = 64
    negatives: Annotated[int, Range(1, 10_000)] = 4
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        for field, kind, known in (
            ("corruptions", "corruption", CORRUPTIONS),
            ("components", "component", COMPONENT_NAMES),
            ("tokens", "choice of tokens", TOKEN_NAMES),
        ):
            if not getattr(self, field):
                raise SettingsError(
                    f"patching.{field} is an empty list", fix=f"give at least one of {', '.join(known)}"
                )
            for name in getattr(self, field):
                if name not in known:
                    raise unknown_name(kind, name, known)
