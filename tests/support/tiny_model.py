"""A language model of a few thousand random weights, saved as a Hugging Face folder: real code paths, no waiting."""

from __future__ import annotations

from pathlib import Path

from tests.support.tokenizers import byte_level

TURN_END = "<|im_end|>"
CONTEXT = 256
"""Tokens that prompt and answer together may have."""


def save_tiny_model(folder: Path, *, chat_template: str | None = None) -> Path:
    """Write the model and its tokenizer to `folder`. The weights are the same every time."""
    import torch
    import transformers

    tokenizer, _ = byte_level()
    tokenizer.add_special_tokens([TURN_END])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=TURN_END)
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        initializer_range=0.5,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder
