"""Models of transformers by their type or by a local configuration, with random weights and without
a network: hf:gpt2, hf:config.json."""

import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from depthscale.errors import InvalidProbe, MissingPackage

HF = "hf:"
_TASKS = (  # what to make of a type that is no architecture yet, the first that it has
    "MODEL_FOR_CAUSAL_LM_MAPPING",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "MODEL_FOR_MASKED_LM_MAPPING",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
    "MODEL_MAPPING",
)
_TOKENS, _BATCH = 64, 2


def random_model(target: str) -> Callable[[], tuple[Any, dict[str, Any]]]:
    """A function that makes such a model and an input for it.

    Args:
        target: hf: and a model type, or the path of a config.json.

    Raises:
        MissingPackage: where transformers is not installed.
        InvalidProbe: for a type that it does not know.
    """
    try:
        import transformers
    except ImportError:
        raise MissingPackage(
            f"{target} needs transformers; install it: pip install transformers"
        ) from None
    transformers.logging.set_verbosity_error()
    named = target.removeprefix(HF)
    local = Path(named)
    settings = _settings(local) if named.endswith(".json") else {"model_type": named}
    made_of = _class(settings, target)

    def make() -> tuple[Any, dict[str, Any]]:
        config = transformers.AutoConfig.for_model(**settings)
        model = made_of(config).train()
        return model, _inputs(model, config)

    return make


def _settings(path: Path) -> dict[str, Any]:
    """What a config.json holds. / raises: InvalidProbe."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise InvalidProbe(f"cannot read {path}: {wrong}") from None
    if not isinstance(found, dict) or "model_type" not in found:
        raise InvalidProbe(f"{path} has no model_type; it is no configuration of transformers")
    return found


def _class(settings: dict[str, Any], target: str) -> Any:
    """The architecture that a configuration names, or the first that its type has."""
    import transformers
    from transformers.models.auto import configuration_auto, modeling_auto

    for name in settings.get("architectures") or ():
        if hasattr(transformers, name):
            return getattr(transformers, name)
    kind, types = settings["model_type"], configuration_auto.CONFIG_MAPPING
    if kind not in types:
        near = ", ".join(get_close_matches(kind, types.keys(), 3)) or "gpt2, llama, vit, t5, bert"
        raise InvalidProbe(f"transformers has no model type {kind!r} ({target}); there is {near}")
    for task in _TASKS:
        found = getattr(modeling_auto, task).get(types[kind], None)
        if found is not None:
            return found[0] if isinstance(found, tuple) else found
    raise InvalidProbe(f"transformers makes no model of type {kind!r} from its configuration")


def _inputs(model: Any, config: Any) -> dict[str, Any]:
    """Tokens, or an image, as the model names its main input."""
    import torch

    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    generator = torch.Generator().manual_seed(0)
    if model.main_input_name == "pixel_values":
        size = getattr(config, "image_size", 224)
        sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
        shape = (_BATCH, getattr(config, "num_channels", 3), *sides)
        return {"pixel_values": torch.randn(shape, generator=generator)}
    if model.main_input_name != "input_ids":
        raise InvalidProbe(
            f"{type(model).__name__} takes {model.main_input_name}; describe it, as "
            f"--kw {model.main_input_name}=float32[2,80,3000]"
        )
    ids = torch.randint(text.vocab_size, (_BATCH, _TOKENS), generator=generator)
    given = {"input_ids": ids}
    if config.is_encoder_decoder:
        given["decoder_input_ids"] = ids
    return given
