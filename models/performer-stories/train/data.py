"""Text, tokenizer and batches. Everything is a function of the files and a seed."""

import re
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END = "<|endoftext|>"
# File, share of the training batches. The last twentieth of each is held out: no step sees it.
CORPORA = {
    "tinystories": ("tinystories-sample.txt", 0.5),
    "war-and-peace": ("war-and-peace.txt", 0.3),
    "shakespeare": ("tinyshakespeare.txt", 0.2),
}
HELD_OUT = 0.05


def documents(folder: Path, name: str) -> list[str]:
    """The texts of a corpus without what an archive has put around them."""
    text = (folder / CORPORA[name][0]).read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    if name == "tinystories":
        return [story.strip() for story in text.split(END) if story.strip()]
    text = re.sub(r"(?s)^.*?\*\*\* ?START OF .*?\*\*\*", "", text)
    text = re.sub(r"(?s)\*\*\* ?END OF .*$", "", text)
    # Lines of a printed page are joined; empty lines between paragraphs stay as one line break, as the stories have it.
    if name == "war-and-peace":
        text = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
        text = re.sub(r"\n{2,}", "\n", text)
    return [text.strip()]


def split(texts: list[str]) -> tuple[list[str], list[str]]:
    """Training and held-out part, cut between stories or between lines."""
    if len(texts) > 1:
        cut = round(len(texts) * (1 - HELD_OUT))
        return texts[:cut], texts[cut:]
    (text,) = texts
    cut = text.rindex("\n", 0, round(len(text) * (1 - HELD_OUT))) + 1
    return [text[:cut]], [text[cut:]]


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE: any text has tokens. Id 0 separates texts and begins every prompt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    return tokenizer


class Corpus:
    """One corpus as tokens, int64 [tokens], and how many characters the held-out ones stand for."""

    def __init__(self, tokenizer: Tokenizer, parts: tuple[list[str], list[str]]):
        encode = lambda texts: np.concatenate(
            [np.array([0, *encoding.ids], dtype=np.int64) for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        )
        self.train, self.held_out = (torch.from_numpy(encode(texts)) for texts in parts)
        self.held_out_characters = sum(len(text) for text in parts[1])


def load(folder: Path, vocabulary: int, saved: Path) -> tuple[Tokenizer, dict[str, Corpus]]:
    parts = {name: split(documents(folder, name)) for name in CORPORA}
    if saved.exists():
        tokenizer = Tokenizer.from_file(str(saved))
    else:
        # Each corpus counts as its share of the batches does: long ones are cut to that.
        most = min(sum(map(len, train)) / CORPORA[name][1] for name, (train, _) in parts.items())
        texts = ["\n".join(train)[: round(most * CORPORA[name][1])] for name, (train, _) in parts.items()]
        tokenizer = train_tokenizer(texts, vocabulary)
        tokenizer.save(str(saved))
    return tokenizer, {name: Corpus(tokenizer, part) for name, part in parts.items()}


def batch(corpora: dict[str, Corpus], *, step: int, seed: int, size: int, length: int) -> torch.Tensor:
    """[size, length + 1] of step `step`: a function of its number, so that a restart and a twin see the same."""
    rng = np.random.default_rng([seed, step])
    names = rng.choice(list(CORPORA), size=size, p=[share for _, share in CORPORA.values()])
    rows = []
    for name in names:
        tokens = corpora[name].train
        start = int(rng.integers(0, len(tokens) - length))
        rows.append(tokens[start : start + length + 1])
    return torch.stack(rows)
