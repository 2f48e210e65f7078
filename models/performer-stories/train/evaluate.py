"""
Losses of the model and of its softmax twin, by training step and by position in texts longer than they were trained on:

  python evaluate.py --run FOLDER --text FOLDER --out FOLDER        writes OUT/losses.json and OUT/losses.svg
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F

import data
from model import Decoder, Shape

KINDS = {"features": "features behind a window", "softmax": "softmax twin"}
BUCKETS = [0, 64, 128, 256, 512, 1024, 2048, 4096]


def load(run: Path, kind: str) -> tuple[Decoder, int]:
    saved = torch.load(run / f"{kind}.pt", weights_only=True)
    model = Decoder(Shape(), kind).eval()
    model.load_state_dict(saved["model"])
    return model, saved["step"]


@torch.no_grad()
def losses(model: Decoder, tokens: torch.Tensor, length: int, rows: int) -> torch.Tensor:
    """Nats of every token of the first `rows` pieces: [rows, length]."""
    count = min(rows, (len(tokens) - 1) // length)
    found = []
    for i in range(count):
        piece = tokens[i * length : (i + 1) * length + 1][None]
        found.append(F.cross_entropy(model(piece[:, :-1])[0], piece[0, 1:], reduction="none"))
    return torch.stack(found)


def evaluate(run: Path, corpora: dict[str, data.Corpus]) -> dict:
    report = {}
    for kind in KINDS:
        model, step = load(run, kind)
        held_out = {}
        for name, corpus in corpora.items():
            nats = losses(model, corpus.held_out, 512, 10**6)
            per_character = nats.mean() * len(corpus.held_out) / corpus.held_out_characters
            held_out[name] = {
                "tokens": nats.numel(),
                "nats a token": round(nats.mean().item(), 4),
                "bits a character": round(per_character.item() / 0.6931471805599453, 4),
            }
        far = losses(model, corpora["war-and-peace"].held_out, BUCKETS[-1], 8)
        by_position = [round(far[:, a:b].mean().item(), 4) for a, b in zip(BUCKETS, BUCKETS[1:])]
        ablation = {}
        if kind == "features":
            # What the window alone would give: no feature has any mass.
            for block in model.blocks:
                block.attention.maps.bias.data.fill_(-1e4)
            for name, corpus in corpora.items():
                ablation[name] = round(losses(model, corpus.held_out, 512, 10**6).mean().item(), 4)
        log = [json.loads(line) for line in (run / f"{kind}.jsonl").read_text().splitlines()]
        report[kind] = {
            "parameters": sum(w.numel() for w in model.parameters()),
            "steps": step,
            "tokens seen": log[-1]["tokens"],
            "seconds of training": log[-1]["seconds"],
            "held out, pieces of 512 tokens": held_out,
            **({"held out, features switched off": ablation} if ablation else {}),
            "war-and-peace by position": dict(zip((f"{a}–{b}" for a, b in zip(BUCKETS, BUCKETS[1:])), by_position)),
            "curve": [{key: line[key] for key in ("tokens", "train", "held_out")} for line in log],
        }
    return report


def draw(report: dict) -> str:
    """Two panels: training loss by tokens seen, and loss by position."""
    colours = {"features": "#2563eb", "softmax": "#9ca3af"}
    parts = []

    def panel(left: float, title: str, ticks: dict[str, float], lines: dict[str, list[tuple[float, float]]]) -> None:
        width, height, top = 330, 220, 40
        values = [y for points in lines.values() for _, y in points]
        low, high = min(values) - 0.1, max(values) + 0.1
        x = lambda share: left + share * width
        y = lambda value: top + height * (high - value) / (high - low)
        parts.append(f'<text x="{left}" y="{top - 18}" font-weight="600">{title}</text>')
        parts.append(f'<path d="M{left},{top}v{height}h{width}" fill="none" stroke="#d1d5db"/>')
        for label, share in ticks.items():
            parts.append(f'<text x="{x(share):.1f}" y="{top + height + 16}" text-anchor="middle">{label}</text>')
        step = next(step for step in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / step < 8)
        tick = -(-low // step) * step
        while tick <= high:
            parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
            tick += step
        for kind, points in lines.items():
            path = " ".join(f"{'L' if i else 'M'}{x(a):.1f},{y(b):.1f}" for i, (a, b) in enumerate(points))
            parts.append(f'<path d="{path}" fill="none" stroke="{colours[kind]}" stroke-width="2"/>')

    most = max(report[kind]["tokens seen"] for kind in KINDS)
    curve = {kind: [(line["tokens"] / most, line["train"]) for line in report[kind]["curve"]] for kind in KINDS}
    panel(50, "Training loss, nats a token", {"0": 0, f"{most / 1e6:.1f} M tokens": 1}, curve)
    places = {kind: list(report[kind]["war-and-peace by position"].items()) for kind in KINDS}
    count = len(BUCKETS) - 2
    lines = {kind: [(i / count, value) for i, (_, value) in enumerate(items)] for kind, items in places.items()}
    panel(450, "Held-out loss by position (trained on 512)", {f"–{b}": i / count for i, b in enumerate(BUCKETS[1:])}, lines)
    for i, (kind, label) in enumerate(KINDS.items()):
        parts.append(f'<path d="M{50 + 220 * i},300h20" stroke="{colours[kind]}" stroke-width="2"/><text x="{76 + 220 * i}" y="304">{label}</text>')
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="820" height="320" font-family="sans-serif" font-size="12">\n<rect width="820" height="320" fill="#fff"/>\n{body}\n</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "text", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    _, corpora = data.load(options.text, Shape().vocabulary, options.run / "tokenizer.json")
    report = evaluate(options.run, corpora)
    (options.out / "losses.json").write_text(json.dumps({"schema": "performers.training/1", **report}, indent=1, ensure_ascii=False) + "\n")
    (options.out / "losses.svg").write_text(draw(report))


if __name__ == "__main__":
    main()
