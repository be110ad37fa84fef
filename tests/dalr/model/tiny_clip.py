"""A tiny open_clip architecture, registered under `tiny-clip`: no shipped one is small enough for tests."""

import json
from pathlib import Path

import open_clip
from PIL import Image

ARCHITECTURE = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}


def register_tiny_clip(folder: Path) -> str:
    """Makes the architecture known to open_clip in this process; returns its name."""
    path = folder / "tiny-clip.json"
    path.write_text(json.dumps(ARCHITECTURE))
    open_clip.add_model_config(path)
    return path.stem


def draw_pictures(folder: Path, count: int) -> list[str]:
    """Pictures `0.png`, `1.png`, ... of different colours and sizes; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = Image.new("RGB", (20 + number, 40), (number * 37 % 256, number * 91 % 256, 128))
        picture.putpixel((number % 20, 3), (255, 255, 255))
        picture.save(folder / f"{number}.png")
    return [f"{number}.png" for number in range(count)]
