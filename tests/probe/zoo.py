"""Published architectures, small and with random weights: name -> model and inputs. Their libraries
are loaded when built."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Built = tuple[nn.Module, Any]


def ids(*shape: int, below: int = 100) -> Tensor:
    return torch.randint(0, below, shape or (2, 16), generator=torch.Generator().manual_seed(1))


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


# ---- transformers: a class, its configuration's class and values, its inputs

_TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_DECODER = {**_TINY, "vocab_size": 100, "num_key_value_heads": 2, "max_position_embeddings": 64}
_TEXT = {"input_ids": ids()}
_IMAGE = {"pixel_values": noise(2, 3, 32, 32)}
_PATCHES = {"image_size": 32, "patch_size": 8}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _pretrained(
    name: str,
    config: str,
    values: dict[str, Any],
    inputs: dict[str, Tensor],
    training: bool = False,
) -> Built:
    import transformers

    model = getattr(transformers, name)(getattr(transformers, config)(**values))
    return model.train(training), inputs


_TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any], dict[str, Tensor]]] = {
    "gpt2": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": 100, "n_embd": 32, "n_layer": 3, "n_head": 2, **_SPECIAL},
        _TEXT,
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _DECODER, _TEXT),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**_DECODER, "head_dim": 16}, _TEXT),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", {**_DECODER, "head_dim": 16}, _TEXT),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", {**_DECODER, **_SPECIAL}, _TEXT),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {**_DECODER, "num_local_experts": 4}, _TEXT),
    "bert": ("BertModel", "BertConfig", {**_TINY, "vocab_size": 100}, _TEXT),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"vocab_size": 100, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
        {**_TEXT, "decoder_input_ids": ids()},
    ),
    "mamba": (
        "MambaForCausalLM",
        "MambaConfig",
        {"vocab_size": 100, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, **_SPECIAL},
        _TEXT,
    ),
    "vit": ("ViTForImageClassification", "ViTConfig", {**_TINY, **_PATCHES}, _IMAGE),
    "dinov2": ("Dinov2Model", "Dinov2Config", {**_TINY, **_PATCHES}, _IMAGE),
    "swin": (
        "SwinModel",
        "SwinConfig",
        {
            "image_size": 32,
            "patch_size": 4,
            "embed_dim": 16,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 4,
        },
        _IMAGE,
    ),
    "convnextv2": (
        "ConvNextV2Model",
        "ConvNextV2Config",
        {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 2, 1]},
        _IMAGE,
    ),
    "resnet": (
        "ResNetForImageClassification",
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [16, 32, 64, 128], "depths": [2, 2, 2, 2]},
        _IMAGE,
    ),
    "regnet": (
        "RegNetModel",
        "RegNetConfig",
        {
            "embedding_size": 8,
            "hidden_sizes": [16, 32, 64, 128],
            "depths": [1, 1, 2, 1],
            "groups_width": 8,
        },
        _IMAGE,
    ),
    "bit": (
        "BitModel",
        "BitConfig",
        {
            "embedding_size": 32,
            "hidden_sizes": [32, 64, 128, 256],
            "depths": [1, 1, 1, 1],
            "num_groups": 8,
        },
        _IMAGE,
    ),
    "segformer": (
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 2, 2],
            "decoder_hidden_size": 16,
        },
        _IMAGE,
    ),
    "wav2vec2": (
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        {
            **_TINY,
            "conv_dim": (16, 16, 16),
            "conv_stride": (5, 2, 2),
            "conv_kernel": (10, 3, 3),
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
            "num_feat_extract_layers": 3,
        },
        {"input_values": noise(2, 800)},
    ),
    "whisper": (
        "WhisperModel",
        "WhisperConfig",
        {
            "vocab_size": 100,
            "d_model": 32,
            "num_mel_bins": 8,
            "max_source_positions": 20,
            "max_target_positions": 20,
            "decoder_start_token_id": 1,
            **_SPECIAL,
            **{
                f"{side}_{what}": n
                for side in ("encoder", "decoder")
                for what, n in (("layers", 2), ("attention_heads", 2))
            },
            **{f"{side}_ffn_dim": 64 for side in ("encoder", "decoder")},
        },
        {"input_features": noise(2, 8, 40), "decoder_input_ids": ids(2, 8)},
    ),
    "clip": (
        "CLIPModel",
        "CLIPConfig",
        {
            "text_config": {**_TINY, "vocab_size": 100, **_SPECIAL},
            "vision_config": {**_TINY, **_PATCHES},
            "projection_dim": 16,
        },
        {**_TEXT, **_IMAGE},
    ),
    "patchtst": (
        "PatchTSTForPrediction",
        "PatchTSTConfig",
        {
            "num_input_channels": 2,
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "d_model": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 64,
            "prediction_length": 8,
            "norm_type": "batchnorm",
        },
        {"past_values": noise(2, 32, 2)},
    ),
}


def _rwkv() -> Built:
    """In train mode: its eval mode writes over what its own backward pass needs."""
    values = {
        "vocab_size": 100,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "context_length": 32,
        **_SPECIAL,
    }
    return _pretrained("RwkvForCausalLM", "RwkvConfig", values, _TEXT, training=True)


# ---- other libraries


def _unet2d() -> Built:
    from diffusers.models.unets.unet_2d import UNet2DModel

    model = UNet2DModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
    )
    return model.eval(), (noise(2, 3, 16, 16), torch.tensor([3, 7]))


def _dit() -> Built:
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    model = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        num_layers=2,
        sample_size=8,
        num_embeds_ada_norm=10,
    )
    labels = {"timestep": torch.tensor([3, 7]), "class_labels": torch.tensor([1, 2])}
    return model.eval(), {"hidden_states": noise(2, 4, 8, 8), **labels}


def _graph(kind: str, **settings: Any) -> Built:
    from torch_geometric.nn import models

    return getattr(models, kind)(8, 16, 3, **settings), (noise(20, 8), ids(2, 60, below=20))


def _x_decoder(**settings: Any) -> Built:
    from x_transformers import Decoder, TransformerWrapper

    return TransformerWrapper(
        num_tokens=100, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=2, **settings)
    ), ids()


def _monai_unet() -> Built:
    from monai.networks.nets.unet import UNet

    model = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        channels=(8, 16, 32),
        strides=(2, 2),
        num_res_units=1,
    )
    return model, noise(2, 1, 32, 32)


def _densenet() -> Built:
    from monai.networks.nets.densenet import DenseNet121

    sizes: dict[str, Any] = {"init_features": 8, "growth_rate": 4, "block_config": (2, 2, 2, 2)}
    return DenseNet121(spatial_dims=2, in_channels=1, out_channels=2, **sizes), noise(2, 1, 64, 64)


def _transformer() -> Built:
    return nn.Transformer(32, 2, 2, 2, 64, batch_first=True), (noise(2, 8, 32), noise(2, 6, 32))


class _Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.out = (
            nn.Embedding(100, 8),
            nn.LSTM(8, 16, 2, batch_first=True),
            nn.Linear(16, 4),
        )

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.rnn(self.embed(ids))[0])


ZOO: dict[str, Callable[[], Built]] = {
    **{name: partial(_pretrained, *row) for name, row in _TRANSFORMERS.items()},
    "rwkv": _rwkv,
    "unet2d": _unet2d,
    "dit": _dit,
    "gcn": partial(_graph, "GCN"),
    "gin": partial(_graph, "GIN", norm="batch_norm"),
    "gat": partial(_graph, "GAT"),
    "x_rmsnorm": partial(_x_decoder, use_rmsnorm=True),
    "x_dynamic_tanh": partial(_x_decoder, use_dynamic_tanh=True),
    "monai_unet": _monai_unet,
    "densenet": _densenet,
    "transformer": _transformer,
    "lstm": lambda: (_Tagger(), ids()),
}
