"""Write a Llama of random weights: `python -m tests.benchmarks.random_model JOB ANSWER`; the job is [folder, size]."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from .. import models


def main(asked: str, answered: str) -> None:
    folder, size = json.loads(Path(asked).read_text(encoding="utf-8"))
    torch.manual_seed(20)
    {"tiny": models.llama, "billion": billion}[size](Path(folder))
    Path(answered).write_text("null", encoding="utf-8")


def billion(folder: Path) -> Path:
    """About one billion weights in bfloat16, in the proportions of Llama 3.2 1B, with a tokenizer of 600 entries."""
    config = transformers.LlamaConfig(
        vocab_size=32_768,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model: Any = transformers.LlamaForCausalLM(config)
    model.to(torch.bfloat16)
    tokenizer = models.byte_level(models.START, models.END)
    return models.save(model, models.wrap(tokenizer, models.START, models.END), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
