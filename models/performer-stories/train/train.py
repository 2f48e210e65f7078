"""
Trains the model, or its softmax twin, from scratch:

  python train.py --text FOLDER --out FOLDER --attention features
  python train.py --text FOLDER --out FOLDER --attention softmax

FOLDER of the texts has tinystories-sample.txt (the beginning of TinyStories' validation file), war-and-peace.txt (Project Gutenberg
2600) and tinyshakespeare.txt (karpathy/char-rnn). Deterministic by --seed on one machine; stopped and started again it goes on
from the last checkpoint, with the same batches. Written: FOLDER/tokenizer.json, and of each attention NAME.pt and NAME.jsonl.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import data
from model import Shape, build

torch.use_deterministic_algorithms(True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--attention", choices=["features", "softmax"], required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=50)
    return parser.parse_args()


def rate(step: int, steps: int) -> float:
    """Warm-up over 60 steps, constant, then down to 0 in a straight line over the last 0.4."""
    return min(1, (step + 1) / 60, max(0.0, (steps - step) / (0.4 * steps)))


def optimisers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices between activations, AdamW for the rest."""
    matrices = [w for name, w in model.named_parameters() if w.ndim == 2 and name.endswith("weight") and "embedding" not in name]
    known = {id(w) for w in matrices}
    rest = [w for w in model.parameters() if id(w) not in known]
    return [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=4e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, corpora: dict[str, data.Corpus], length: int, rows: int = 16) -> dict[str, float]:
    """Nats a token on the first `rows` pieces of each held-out part."""
    losses = {}
    for name, corpus in corpora.items():
        count = min(rows, (len(corpus.held_out) - 1) // length)
        pieces = torch.stack([corpus.held_out[i * length : (i + 1) * length + 1] for i in range(count)])
        losses[name] = F.cross_entropy(model(pieces[:, :-1]).flatten(0, 1), pieces[:, 1:].flatten()).item()
    return losses


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    shape = Shape()
    _, corpora = data.load(options.text, shape.vocabulary, options.out / "tokenizer.json")
    model = build(shape, options.attention, options.seed)
    tools = optimisers(model)
    base = [tool.param_groups[0]["lr"] for tool in tools]
    checkpoint, log = (options.out / f"{options.attention}.{end}" for end in ("pt", "jsonl"))
    step, seconds = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for tool, state in zip(tools, saved["tools"]):
            tool.load_state_dict(state)
        step, seconds = saved["step"], saved["seconds"]
        kept = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in kept))
    elif log.exists():
        log.unlink()
    print(f"{options.attention}: {sum(w.numel() for w in model.parameters()):,} parameters, from step {step}", flush=True)

    began, sum_loss, count = time.monotonic(), 0.0, 0
    while step < options.steps:
        for tool, lr in zip(tools, base):
            tool.param_groups[0]["lr"] = lr * rate(step, options.steps)
        rows = data.batch(corpora, step=step, seed=options.seed, size=options.batch, length=options.length)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(rows[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
        if not math.isfinite(loss.item()):
            raise SystemExit(f"step {step}: the loss is {loss.item()}; start again from the last checkpoint with another seed")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for tool in tools:
            tool.step()
            tool.zero_grad(set_to_none=True)
        step, sum_loss, count = step + 1, sum_loss + loss.item(), count + 1
        if step % options.checkpoint_every and step != options.steps:
            continue
        seconds += time.monotonic() - began
        line = {
            "step": step,
            "tokens": step * options.batch * options.length,
            "seconds": round(seconds),
            "train": sum_loss / count,
            "held_out": held_out_loss(model, corpora, options.length) if step % 200 == 0 or step == options.steps else None,
        }
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        part = checkpoint.with_suffix(".part")
        torch.save({"model": model.state_dict(), "tools": [tool.state_dict() for tool in tools], "step": step, "seconds": seconds}, part)
        part.replace(checkpoint)
        began, sum_loss, count = time.monotonic(), 0.0, 0


if __name__ == "__main__":
    main()
