"""A document becomes token samples: plain text, or holes in the very form that serving asks for.

A plain sample is `<python>TEXT<eos>`, a hole `<python><suffix>S<prefix>P<middle>M<eos>`, with
`<path>PATH<file>TEXT` of other files after the control code in a share of the holes; built by
`autocoder.daemon.prompt`. Holes walk through the document, so that each part is a prefix about
once. Knows texts and tokens; knows no windows, no model.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from autocoder.daemon.prompt import Budget, Context, PromptBuilder, PromptFormat
from autocoder.train.pretrain.holes import Hole, hole_near

CHARS_PER_TOKEN = 4.0


@dataclass(frozen=True)
class Mixture:
    """How samples are drawn. Budgets are in tokens of prefix, suffix and other files.

    Of the holes, `context_share` get up to `context_files` other files of their repository before
    them, of up to `context_tokens` together.
    """

    hole_share: float = 0.6
    no_suffix: float = 0.12
    median_prefix: int = 160
    longest_prefix: int = 1500
    longest_suffix: int = 256
    context_share: float = 0.0
    context_files: int = 3
    context_tokens: int = 512
    renamed_share: float = 0.0
    renamed_alone: float = 0.0

    def renamed(self, standalone: bool) -> float:
        """The share of such documents that get other names."""
        return self.renamed_alone if standalone else self.renamed_share


def form_of(mixture: Mixture) -> PromptFormat:
    """The prompt format of a model trained on such a mixture."""
    return PromptFormat.with_context() if mixture.context_share else PromptFormat()


def holes_of(
    text: str,
    language: str,
    builder: PromptBuilder,
    mixture: Mixture,
    chance: random.Random,
    others: Callable[[], Context] = tuple,
) -> Iterator[list[int]]:
    """Token ids of one hole after another through the document.

    `others` gives other files for a hole, anew for each: the same ones again would be learnt by
    heart.
    """
    at = 0
    while at < len(text):
        context = others() if chance.random() < mixture.context_share else ()
        budget = draw_budget(mixture, chance, with_context=bool(context))
        hole = hole_near(text, min(len(text) - 1, at + budget.prefix_chars * 7 // 8), chance)
        if hole.end > hole.cursor:
            yield hole_sample(text, hole, language, builder, budget, context)
        at = max(hole.end, at + 40)


def hole_sample(
    text: str,
    hole: Hole,
    language: str,
    builder: PromptBuilder,
    budget: Budget,
    context: Context = (),
) -> list[int]:
    """`prompt + middle + <eos>` for one hole: the prompt as the daemon would build it."""
    suffix = text[hole.end :] if budget.suffix_tokens else ""
    prompt = builder.build(language, text[: hole.cursor], suffix, budget, context)
    return [*prompt.ids, *builder.encode(text[hole.cursor : hole.end]), builder.end_id]


def draw_budget(mixture: Mixture, chance: random.Random, *, with_context: bool = False) -> Budget:
    """Short prompts mostly, as serving prefers them, with a long tail."""
    prefix = int(mixture.median_prefix * chance.lognormvariate(0, 0.9))
    others = chance.randint(mixture.context_tokens // 8, mixture.context_tokens)
    others = others if with_context else 0
    suffix = chance.choices((0, 24, 96, mixture.longest_suffix), _suffix_weights(mixture))[0]
    return Budget(
        prefix_tokens=max(8, min(mixture.longest_prefix - others, prefix)),
        suffix_tokens=suffix and chance.randint(suffix // 2, suffix),
        chars_per_token=CHARS_PER_TOKEN,
        context_tokens=others,
    )


def _suffix_weights(mixture: Mixture) -> tuple[float, float, float, float]:
    rest = 1 - mixture.no_suffix
    return (mixture.no_suffix, 0.25 * rest, 0.55 * rest, 0.2 * rest)


def plain_sample(text: str, language: str, builder: PromptBuilder) -> list[int]:
    """`<python>TEXT<eos>`, the form of the 2020 blog."""
    return [builder.control_id(language), *builder.encode(text), builder.end_id]
