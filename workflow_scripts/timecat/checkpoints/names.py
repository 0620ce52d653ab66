"""Names of layers in published files, in those that torchvision's networks have.

AlgoPerf's ResNets; RegNets of ClassyVision, as VISSL saves them (SEER); vision transformers of timm, which are DeiT's too,
and of torchvision before its blocks had their MLP as a sequence, which are the names in its published files.
"""

import re
from collections.abc import Collection, Iterable

# What a backbone's layers are told by -> (what stands in a file, the same in the backbone), tried in turn.
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
    """What to rename for a backbone of these names of weights: pairs of a pattern and what stands for it."""
    pairs = (rules for mark, rules in LAYOUTS.items() if any(mark in name for name in wanted))
    return [pair for rules in pairs for pair in rules]


def renamed(key: str, layers: Iterable[tuple[str, str]]) -> str:
    """A file's key with the backbone's names of layers; as it is where it has those already."""
    for pattern, ours in layers:
        key = re.sub(pattern, ours, key)
    return key
