"""Train a tokenizer and a language classifier on the translations of Django's messages, and write the model as ONNX.

.cache/examples/languages/{model.onnx,tokenizer.json,labels.txt}
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import django
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "examples" / "languages"
DONE = FOLDER / "model.onnx"  # written last
LANGUAGES = {
    "cs": "Czech", "da": "Danish", "de": "German", "es": "Spanish", "fi": "Finnish", "fr": "French", "it": "Italian",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "sv": "Swedish", "tr": "Turkish", "ru": "Russian",
    "uk": "Ukrainian", "ja": "Japanese", "zh_Hans": "Chinese",
}  # fmt: skip
LABELS = ("English", *LANGUAGES.values())
TOKENS = 4000
SHORTEST = 12  # characters of a message that is learnt from
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
MESSAGE = re.compile(rf"^(msgid|msgstr)(?:_plural|\[\d\])? ((?:{STRING.pattern}\s*)+)", re.MULTILINE)
BLANKS = re.compile(r"%\(\w+\)[a-z]|%[a-z]|{[^}]*}|<[^>]*>|https?:\S+")  # what is of no language


def main() -> None:
    """Make what is missing."""
    if DONE.exists() and DONE.stat().st_mtime > Path(__file__).stat().st_mtime:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts, answers = corpus()
    seen, unseen, seen_answers, truth = train_test_split(
        texts, answers, test_size=0.2, random_state=0, stratify=answers
    )
    print(f"languages: learning from {len(seen)} messages in {len(LABELS)} languages ...", flush=True)
    tokenizer = train_tokenizer(seen)
    model = LogisticRegression(C=100, max_iter=500).fit(frequencies(tokenizer, seen), seen_answers)
    accuracy = model.score(frequencies(tokenizer, unseen), truth)
    print(f"languages: accuracy {accuracy:.3f} on {len(unseen)} unseen messages")
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    (FOLDER / "labels.txt").write_text("\n".join(LABELS))
    onnx.save(build(model.coef_.T, model.intercept_), DONE)


def corpus() -> tuple[list[str], NDArray[np.int64]]:
    """Messages, and the index of the language of each."""
    texts = {"English": messages("de", "msgid")}
    texts |= {label: messages(code, "msgstr") for code, label in LANGUAGES.items()}
    answers = np.repeat(np.arange(len(LABELS)), [len(texts[label]) for label in LABELS])
    return [text for label in LABELS for text in texts[label]], answers


def messages(code: str, keyword: str) -> list[str]:
    """What the translations to the language `code` hold as `keyword`: msgid, the original, or msgstr."""
    found: set[str] = set()
    for file in Path(django.__file__).parent.rglob(f"locale/{code}/LC_MESSAGES/*.po"):
        for kind, quoted in MESSAGE.findall(file.read_text()):
            text = "".join(ast.literal_eval(part) for part in STRING.findall(quoted))
            if kind == keyword and not text.startswith("Project-Id-Version"):
                found.add(" ".join(BLANKS.sub(" ", text).split()))
    return sorted(text for text in found if len(text) >= SHORTEST)


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-pair encoding: parts of words, of any script."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS, special_tokens=["[PAD]"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def frequencies(tokenizer: Tokenizer, texts: list[str]) -> csr_array:
    """How often each token is in each text, as a part of the text's tokens: [texts, TOKENS]."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    lengths = np.array([len(row) for row in ids])
    rows = np.repeat(np.arange(len(ids)), lengths)
    return csr_array((np.repeat(1 / lengths, lengths), (rows, np.concatenate(ids))), (len(ids), TOKENS))


def build(table: NDArray[np.float64], bias: NDArray[np.float64]) -> onnx.ModelProto:
    """As ONNX: input_ids, attention_mask INT64 [N,T] -> probabilities FP32 [N,languages].

    The mean of the rows of `table` [TOKENS,languages] that belong to a text's tokens, and `bias`, decide.
    """
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["present"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["present", "last"], ["weights"]),
        helper.make_node("Mul", ["rows", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["present", "tokens"], ["count"]),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["mean", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    constants = {"table": table.astype(np.float32), "bias": bias.astype(np.float32)}
    constants |= {"last": np.array([-1]), "tokens": np.array([1])}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(bias)])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "languages", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    main()
