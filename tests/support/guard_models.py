"""Guard models for tests: an HTTP server that plays one, and small models with weights set by hand.

with guard_server(lambda body: chat("unsafe\\nS9", {"unsafe": 0.9, "safe": 0.1})) as server:
    server.url, server.requests

save_classifier(folder)      # a BERT whose class `harmful` is the word "bomb"
save_stream_model(folder)    # Qwen3Guard-Stream's shape: a token 7 is unsafe; 8, and every user, is controversial
"""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.tokenizers import byte_level

# --- over HTTP


class Reply(NamedTuple):
    """What the server does with a request: waits, then answers. A status 0 breaks the connection off."""

    body: Any = None
    status: int = 200
    after: float = 0.0
    """Seconds; cut short when the server is stopped."""
    drip: float = 0.0
    """Seconds between two bytes of the body."""


Play = Callable[[Any], Any]
"""From a request's body to a `Reply`, or to what is sent with status 200."""


@dataclass(slots=True)
class GuardServer:
    """What a running server has seen."""

    url: str
    requests: list[Any] = field(default_factory=list)
    """The bodies, in order."""
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    """The `authorization` of each."""
    most: int = 0
    """The most requests that were open at once."""


@contextmanager
def guard_server(play: Play) -> Iterator[GuardServer]:
    """A server on loopback, with a thread for each connection."""
    over = threading.Event()
    lock = threading.Lock()
    open_now = 0
    connections: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            connections.discard(self.connection)
            super().finish()

        def do_POST(self) -> None:
            nonlocal open_now
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                open_now += 1
                seen.most = max(seen.most, open_now)
                seen.requests.append(body)
                seen.paths.append(self.path)
                seen.keys.append(self.headers["authorization"])
            try:
                told = play(body)
                self.answer(told if isinstance(told, Reply) else Reply(told))
            except OSError:  # the client has gone
                self.close_connection = True
            finally:
                with lock:
                    open_now -= 1

        def answer(self, reply: Reply) -> None:
            over.wait(reply.after)
            if not reply.status:
                self.close_connection = True
                return
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            for byte in data if reply.drip else ():
                self.wfile.write(bytes([byte]))
                over.wait(reply.drip)
            if not reply.drip:
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    seen = GuardServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        server.shutdown()
        for connection in tuple(connections):  # idle ones would be waited for
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()


def chat(text: str, *tokens: tuple[str, Mapping[str, float]]) -> dict[str, Any]:
    """A chat completion as vLLM gives it; each token with the probabilities of those that could stand there."""
    content = [
        {"token": token, "logprob": math.log(top[token]), "bytes": list(token.encode()), "top_logprobs": _top(top)}
        for token, top in tokens
    ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "guard",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": {"content": content} if tokens else None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }


def moderation(flagged: bool, **scores: float) -> dict[str, Any]:
    """An answer of the moderations API; `__` in a name stands for a slash, `_` for a hyphen."""
    named = {name.replace("__", "/").replace("_", "-"): score for name, score in scores.items()}
    result = {
        "flagged": flagged,
        "categories": {name: score >= 0.5 for name, score in named.items()},
        "category_scores": named,
    }
    return {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}


def asked_text(body: Any) -> str:
    """The text that a request wants judged."""
    text: str = body["input"] if "input" in body else body["messages"][-1]["content"]
    return text


def by_word(word: str, *, after: float = 0.0) -> Play:
    """Plays a Llama Guard to which a text with `word` in it is about weapons."""

    def play(body: Any) -> Reply:
        risk = 0.98 if word in asked_text(body) else 0.03
        said = "unsafe" if risk > 0.5 else "safe"
        text = "\n\nunsafe\nS9" if risk > 0.5 else "\n\nsafe"
        top = {said: max(risk, 1 - risk), "safe" if said == "unsafe" else "unsafe": min(risk, 1 - risk)}
        return Reply(chat(text, ("\n\n", {"\n\n": 1.0}), (said, top)), after=after)

    return play


def _top(top: Mapping[str, float]) -> Sequence[Mapping[str, Any]]:
    return [{"token": token, "logprob": math.log(chance), "bytes": None} for token, chance in top.items() if chance]


# --- in the process

WORDS: Final = ("bomb", "insult", "the", "garden", "is", "lovely", "we", "build", "a", "and", "it", "was", ".")
LEVELS: Final = {"0": "Safe", "1": "Unsafe", "2": "Controversial"}
ANSWER_CATEGORIES: Final = {
    str(number): name
    for number, name in enumerate(
        ["Violent", "Sexual Content", "Self-Harm", "Political", "PII", "Copyright", "Illegal Acts", "Unethical"]
    )
}
QUERY_CATEGORIES: Final = {**ANSWER_CATEGORIES, "8": "Jailbreak"}


def save_classifier(folder: Path, *, several: bool = False) -> Path:
    """A BERT of one layer that looks for two words. Classes: `calm`, `harmful` ("bomb"), `rude` ("insult").

    Its only head attends to the harmful word wherever it stands, and the first token takes the word's mark over.
    """
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=128,
    ).save_pretrained(folder)
    labels = ["calm", "harmful", "rude"]
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=128,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type="multi_label_classification" if several else "single_label_classification",
    )
    torch.manual_seed(3)
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
        words = model.bert.embeddings.word_embeddings.weight
        words[:, 2:] = torch.rand(len(vocabulary), 6)
        words[vocabulary["bomb"], 0] = words[vocabulary["insult"], 1] = 20.0
        attention = model.bert.encoder.layer[0].attention
        attention.self.query.bias[2] = 40.0
        attention.self.key.weight[2, 0] = attention.self.key.weight[2, 1] = 1.0
        attention.self.value.weight[0, 0] = attention.self.value.weight[1, 1] = 1.0
        attention.output.dense.weight[0, 0] = attention.output.dense.weight[1, 1] = 8.0
        model.bert.pooler.dense.weight[0, 0] = model.bert.pooler.dense.weight[1, 1] = 2.0
        model.classifier.weight[1, 0] = model.classifier.weight[2, 1] = 6.0
        model.classifier.bias[:] = torch.tensor([2.0, -2.0, -2.0])
    model.save_pretrained(folder)
    return folder


def save_stream_model(folder: Path, *, by_hand: bool = True) -> Path:
    """Qwen3Guard-Stream in small: the names of its weights and of its configuration. What it means for a token depends
    on the token alone `by_hand`; else all weights are random."""
    import torch
    import transformers
    from safetensors.torch import save_file

    tokenizer, _ = byte_level()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.save_pretrained(folder)
    config = transformers.Qwen3Config(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=8_192,
        rope_theta=1_000_000,
        tie_word_embeddings=False,
        initializer_range=0.3,
    )
    torch.manual_seed(5)
    backbone = transformers.Qwen3Model(config).eval()
    weights = {f"model.{name}": tensor for name, tensor in backbone.state_dict().items()}
    inner = 16
    for side, categories in (("", 8), ("query_", 9)):
        weights[f"{side}risk_level_category_pre.weight"] = torch.randn(inner, config.hidden_size) * 0.3
        weights[f"{side}risk_level_category_layernorm.weight"] = torch.ones(inner)
        weights[f"{side}risk_level_head.weight"] = torch.randn(3, inner)
        weights[f"{side}category_head.weight"] = torch.randn(categories, inner)
        if by_hand:
            for name in ("risk_level_category_pre", "risk_level_head", "category_head"):
                weights[f"{side}{name}.weight"].zero_()
            weights[f"{side}risk_level_category_pre.weight"][:3, :3] = torch.eye(3)
            weights[f"{side}risk_level_head.weight"][:, :3] = torch.eye(3) * 2
            weights[f"{side}category_head.weight"][2 if side == "" else 8, 1] = 1.0
    if by_hand:
        for name, tensor in weights.items():
            if name.endswith(("o_proj.weight", "down_proj.weight", "embed_tokens.weight")):
                tensor.zero_()
        embeddings = weights["model.embed_tokens.weight"]
        embeddings[:, 0] = 1.0
        for token, level in (("7", 1), ("8", 2), ("<|im_end|>", 2)):
            (number,) = fast(token, add_special_tokens=False)["input_ids"]
            embeddings[number] = torch.nn.functional.one_hot(torch.tensor(level), config.hidden_size)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    fields = config.to_dict() | {
        "architectures": ["Qwen3ForGuardModel"],
        "auto_map": {"AutoModel": "modeling_qwen3_guard.Qwen3ForGuardModel"},
        "model_type": "qwen3",
        "guard_inner_size": inner,
        "num_risk_level": 3,
        "num_category": 8,
        "num_query_risk_level": 3,
        "num_query_category": 9,
        "response_risk_level_map": LEVELS,
        "query_risk_level_map": LEVELS,
        "response_category_map": ANSWER_CATEGORIES,
        "query_category_map": QUERY_CATEGORIES,
    }
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder
