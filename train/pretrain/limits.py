"""What the numbers of a pre-training recipe may be, each for itself and together.

Knows recipes; reads no file.
"""

from typing import TYPE_CHECKING

from autocoder.daemon.errors import ConfigError

if TYPE_CHECKING:
    from autocoder.train.pretrain.recipe import Recipe

MANY = 1 << 40
SHARE = (0.0, 1.0)
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "model": {
        "vocab_size": (1, 1 << 16),  # windows are uint16
        "hidden_size": (1, 1 << 16),
        "num_hidden_layers": (1, 1 << 10),
        "num_attention_heads": (1, 1 << 10),
        "num_key_value_heads": (1, 1 << 10),
        "intermediate_size": (1, 1 << 20),
        "max_position_embeddings": (1, 1 << 20),
        "rms_norm_eps": (1e-12, 1.0),
    },
    "mixture": {
        "hole_share": SHARE,
        "no_suffix": SHARE,
        "median_prefix": (1, 1 << 20),
        "longest_prefix": (8, 1 << 20),
        "longest_suffix": (0, 1 << 20),
        "context_share": SHARE,
        "context_files": (1, 1 << 10),
        "context_tokens": (0, 1 << 20),
        "renamed_share": SHARE,
        "renamed_alone": SHARE,
    },
    "data": {"length": (1, 1 << 20), "epochs": (1, 10_000), "seed": (0, 1 << 31)},
    "training": {
        "steps": (1, MANY),
        "minutes": (0.0, 1e6),
        "batch": (1, 1 << 20),
        "micro_batch": (1, 1 << 20),
        "warm_up": (0, MANY),
        "decay": SHARE,
        "final_lr": SHARE,
        "muon_lr": (0.0, 10.0),
        "adam_lr": (0.0, 10.0),
        "weight_decay": (0.0, 10.0),
        "clip": (1e-6, 1e6),
        "evaluate_every": (1, MANY),
        "checkpoint_every": (1, MANY),
        "seed": (0, 1 << 31),
    },
}


def check(recipe: "Recipe", where: str) -> None:
    """Raise ConfigError for a number out of its range, or one that does not fit another."""
    for table, ranges in RANGES.items():
        for name, (low, high) in ranges.items():
            value = getattr(getattr(recipe, table), name)
            if not low <= value <= high:
                raise ConfigError(
                    f"{where}: [{table}] {name} = {value} must be from {low:g} to {high:g}"
                )
    _check_heads(recipe, where)
    _check_length(recipe, where)


def _check_heads(recipe: "Recipe", where: str) -> None:
    shape = recipe.model
    heads, width = shape.num_attention_heads, shape.hidden_size
    if width % (2 * heads):  # rotary positions turn pairs
        raise ConfigError(
            f"{where}: [model] num_attention_heads = {heads} must divide hidden_size = {width} "
            "into heads of an even width"
        )
    if heads % shape.num_key_value_heads:
        raise ConfigError(
            f"{where}: [model] num_key_value_heads = {shape.num_key_value_heads} must divide "
            f"num_attention_heads = {heads}"
        )


def _check_length(recipe: "Recipe", where: str) -> None:
    length, longest = recipe.data.length, recipe.model.max_position_embeddings
    if length > longest:
        raise ConfigError(
            f"{where}: [data] length = {length} must not be above [model] "
            f"max_position_embeddings = {longest}"
        )
