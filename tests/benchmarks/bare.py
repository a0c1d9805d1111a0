"""The shortest script that scores a text with transformers; `lmscore score` is held against it."""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, start, text = sys.argv[1:]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
ids = torch.tensor([[int(start), *tokenizer(text, add_special_tokens=False).input_ids]])  # [1, T]
with torch.inference_mode():
    logprobs = model(ids[:, :-1]).logits[0].log_softmax(-1)  # [T - 1, V]
print(logprobs.gather(1, ids[0, 1:, None]).sum().item())
