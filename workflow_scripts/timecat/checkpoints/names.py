"""Translate names of layers in published files to the names in torchvision's networks.

This covers AlgoPerf's ResNets, RegNets of ClassyVision as VISSL saves them (SEER), vision transformers of timm (and
DeiT), and torchvision's published vision transformers, whose MLP layers have older names.
"""

import re
from collections.abc import Collection, Iterable

# Part of a name that identifies the backbone -> (pattern in the file, replacement in the backbone), applied in order.
LAYOUTS = {
    ".downsample.0.": (
        (r"\.downsample\.conv\.", ".downsample.0."),
        (r"\.downsample\.bn\.", ".downsample.1."),
    ),
    "trunk_output.": (
        (r"_feature_blocks\.conv1\.(?:stem\.)?", "stem."),
        (r"(?:_feature_blocks\.res\d+|trunk_output\.block\d+)\.block(\d+)-", r"trunk_output.block\1.block\1-"),
        (r"\.proj\.weight$", ".proj.0.weight"),
        (r"(\.block\d+-\d+)\.bn\.", r"\1.proj.1."),
        (r"\.f\.se\.excitation\.0\.", ".f.se.fc1."),
        (r"\.f\.se\.excitation\.2\.", ".f.se.fc2."),
        (r"\.f\.c\.weight$", ".f.c.0.weight"),
        (r"\.f\.final_bn\.", ".f.c.1."),
    ),
    "encoder.layers.encoder_layer_0.": (
        (r"(encoder\.layers\.encoder_layer_\d+\.mlp)\.linear_1\.", r"\1.0."),
        (r"(encoder\.layers\.encoder_layer_\d+\.mlp)\.linear_2\.", r"\1.3."),
        (r"\bcls_token$", "class_token"),
        (r"\bpos_embed$", "encoder.pos_embedding"),
        (r"\bpatch_embed\.proj\.", "conv_proj."),
        (r"\bblocks\.(\d+)\.norm([12])\.", r"encoder.layers.encoder_layer_\1.ln_\2."),
        (r"\bblocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.encoder_layer_\1.self_attention.in_proj_"),
        (r"\bblocks\.(\d+)\.attn\.proj\.", r"encoder.layers.encoder_layer_\1.self_attention.out_proj."),
        (r"\bblocks\.(\d+)\.mlp\.fc1\.", r"encoder.layers.encoder_layer_\1.mlp.0."),
        (r"\bblocks\.(\d+)\.mlp\.fc2\.", r"encoder.layers.encoder_layer_\1.mlp.3."),
        (r"(^|module\.|model\.)norm\.", r"\1encoder.ln."),
    ),
}


def layers_of(wanted: Collection[str]) -> list[tuple[str, str]]:
    """Return the pairs (pattern, replacement) that apply to a backbone whose weights have the names ``wanted``."""
    pairs = (rules for mark, rules in LAYOUTS.items() if any(mark in name for name in wanted))
    return [pair for rules in pairs for pair in rules]


def renamed(key: str, layers: Iterable[tuple[str, str]]) -> str:
    """Return a file's key after replacing its names of layers with the backbone's.

    A key that already has the backbone's names is not changed.
    """
    for pattern, ours in layers:
        key = re.sub(pattern, ours, key)
    return key
